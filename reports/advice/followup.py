"""What to measure next if no configuration was shown to hold a load, as lines and as a matrix."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from reports import formats
from reports.advice.configurations import Configuration
from reports.advice.extrapolation import Extrapolation
from reports.answer import breaking
from reports.answer.objective import LatencyObjective
from reports.cells import axes
from reports.cells.axes import CONSUMERS
from reports.cells.bottleneck import Bottleneck
from reports.cells.cells import Cell

RUN_IT = "save it as next.toml, then: ./tidemark bench next.toml"
_SEARCHED_PERCENTILE = "p99"  # the percentile that a matrix can name in an objective
_OF_SERVERS = ("kafka.", "mongod.")  # what a matrix sets under [servers]
_ROUNDS = 5
_DURATION_S = 20


def suggest(
    found: Sequence[Configuration],
    nearest: Configuration | None,
    cells: Sequence[Cell],
    target: float,
    asked: LatencyObjective,
    extrapolation: Extrapolation | None,
    conditions: Mapping[str, object],
) -> tuple[str, ...]:
    """Say which cell would answer: what a curve promises, an open configuration, or where the nearest's bound points.

    ``found`` are the configurations, smallest first; none of them holds the load. Of the open ones, the one with the
    best chance by its search comes first.
    """
    if extrapolation is not None:
        chosen = {**extrapolation.axes, CONSUMERS: extrapolation.consumers}
        said = f"measure what the curve promises, with {extrapolation.consumers} consumers:"
        return said, toml({**chosen, **conditions}, target, asked), RUN_IT
    open_ = [one for one in found if one.status == "unclear"]
    likely = max(open_, key=_sure, default=None)
    if likely is not None and likely.shown is not None and _sure(likely) > 0:
        said = f"measure {likely.words} at this load: its search leaves it open"
        return said, toml({**likely.axes, **conditions}, target, asked, searched=False), RUN_IT
    if likely is not None:
        said = f"measure {likely.words}: the smallest that was neither shown to hold it nor to miss it"
        return said, toml({**likely.axes, **conditions}, target, asked), RUN_IT
    return _beyond(nearest, cells, target, asked, conditions)


def breaks_first(one: Configuration | None, cells: Sequence[Cell], cores_there: float) -> str:
    """Say what breaks first above the load that a configuration held; empty if no search looked above it.

    The text is that of the run's report: the criterion, the resource and the evidence.
    """
    cell = _cell_of(one, cells)
    broke = breaking.find(cell, cores_there) if cell else None
    if broke is None or broke.criterion is None:
        return ""
    return f"{broke.short}; {broke.because}" if broke.because else broke.short


def toml(chosen: Mapping[str, object], target: float, asked: LatencyObjective, *, searched: bool = True) -> str:
    """Write a matrix that would answer: a search, or steady repeats if a search cannot have this objective."""
    of_servers = [name for name in chosen if name.startswith(_OF_SERVERS)]
    fixed = ", ".join(f"{name} = {_value(value)}" for name, value in chosen.items() if name not in of_servers)
    lines = ['name = "next"', f"rounds = {_ROUNDS}"]
    if of_servers:
        lines += ["[servers]", *(f"{_quoted(name)} = {_value(chosen[name])}" for name in of_servers)]
    lines.append("[[cells]]")
    if searched and asked.percentile == _SEARCHED_PERCENTILE:
        limit = f"{asked.measure}_{asked.percentile}_ms = {asked.limit_ms:g}"
        lines += ['kind = "capacity"', f"start_load = {target:g}", f"objective = {{ {limit} }}"]
    else:
        lines += ['kind = "steady"', f"offered_load = {target:g}", f"duration_s = {_DURATION_S}"]
    return "\n".join([*lines, f"fixed = {{ {fixed} }}"])


def _quoted(name: str) -> str:
    """Write the name of a server's setting: the part behind the server's is one word to TOML."""
    server, _, setting = name.partition(".")
    return f"{server}.{json.dumps(setting)}"


def _beyond(
    nearest: Configuration | None,
    cells: Sequence[Cell],
    target: float,
    asked: LatencyObjective,
    conditions: Mapping[str, object],
) -> tuple[str, ...]:
    """Every configuration misses it, or is excluded: go on from the one that held most."""
    if nearest is None:
        return ("no steady or capacity cell of this run has a valid repeat: measure it again",)
    bound = _bound(nearest, cells)
    said = f"every configuration of this run misses it; the nearest, {nearest.words}, is bound by {_named(bound)}"
    if bound is None or not bound.next_why:
        return (said,)
    value = nearest.axes.get(bound.next_axis or "")
    if not isinstance(value, int):
        return said, bound.next_why
    turn = f"turn up {axes.title(bound.next_axis or '')} (there {formats.value(value)}): {bound.next_why}"
    return said, turn, toml({**nearest.axes, str(bound.next_axis): 2 * value, **conditions}, target, asked), RUN_IT


def _bound(one: Configuration | None, cells: Sequence[Cell]) -> Bottleneck | None:
    """Return what bounds the cell that showed the highest load that a configuration held."""
    cell = _cell_of(one, cells)
    return cell.bottleneck if cell else None


def _cell_of(one: Configuration | None, cells: Sequence[Cell]) -> Cell | None:
    """Find the cell that showed the highest load that a configuration held or, if it held none, missed."""
    shown = (one.held or one.shown) if one else None
    return next((cell for cell in cells if shown and cell.plan.id == shown.cell), None)


def _sure(one: Configuration) -> float:
    """Return the chance of an open configuration by its search; 0 if the search says nothing about the load."""
    return one.shown.sure or 0.0 if one.shown is not None and one.shown.status == "unclear" else 0.0


def _named(bound: Bottleneck | None) -> str:
    return bound.name if bound is not None and bound.name else "what is not determined"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value)

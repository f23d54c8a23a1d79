"""Where no configuration was shown to hold a load: what to measure next, as lines and as a cell of a matrix."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from reports import axes, formats
from reports.axes import CONSUMERS
from reports.bottleneck import Bottleneck
from reports.cells import Cell
from reports.configurations import Configuration
from reports.extrapolation import Extrapolation
from reports.objective import Objective

_SEARCHED_PERCENTILE = "p99"  # the percentile that a matrix can name in an objective


def of(
    found: Sequence[Configuration],
    cells: Sequence[Cell],
    target: float,
    asked: Objective,
    extrapolation: Extrapolation | None,
    conditions: Mapping[str, object],
) -> tuple[str, ...]:
    """Say which cell would answer: what a curve promises, an open configuration, or where the nearest's bound points.

    ``found`` are the configurations, smallest first; none of them holds the load.
    """
    if extrapolation is not None:
        chosen = {**extrapolation.axes, CONSUMERS: extrapolation.consumers}
        said = f"measure what the curve promises, with {extrapolation.consumers} consumers:"
        return said, toml({**chosen, **conditions}, target, asked)
    open_ = next((one for one in found if one.status == "unclear"), None)
    if open_ is not None:
        said = f"measure {open_.words}: the smallest that was neither shown to hold it nor to miss it"
        return said, toml({**open_.axes, **conditions}, target, asked)
    return _beyond(found, cells, target, asked, conditions)


def toml(chosen: Mapping[str, object], target: float, asked: Objective) -> str:
    """Write a cell for a matrix that would answer: a search, or a steady cell where no search knows the objective."""
    fixed = ", ".join(f"{name} = {_value(value)}" for name, value in chosen.items())
    lines = ["[[cells]]"]
    if asked.percentile == _SEARCHED_PERCENTILE:
        limit = f"{asked.measure}_{asked.percentile}_ms = {asked.limit_ms:g}"
        lines += ['kind = "capacity"', f"start_load = {target:g}", f"objective = {{ {limit} }}"]
    else:
        lines += ['kind = "steady"', f"offered_load = {target:g}"]
    return "\n".join([*lines, f"fixed = {{ {fixed} }}"])


def _beyond(
    found: Sequence[Configuration],
    cells: Sequence[Cell],
    target: float,
    asked: Objective,
    conditions: Mapping[str, object],
) -> tuple[str, ...]:
    """Every configuration misses it, or is excluded: go on from the one that held most."""
    shown = [(one, one.shown) for one in found if one.shown is not None]
    nearest, decisive = max(shown, key=lambda pair: pair[1].load_events_per_s)
    bound = next((cell.bottleneck for cell in cells if cell.plan.id == decisive.cell), None)
    said = f"every configuration of this run misses it; the nearest, {nearest.words}, is bound by {_named(bound)}"
    if bound is None or not bound.next_why:
        return (said,)
    value = nearest.axes.get(bound.next_axis or "")
    if not isinstance(value, int):
        return said, bound.next_why
    turn = f"turn up {axes.title(bound.next_axis or '')} (there {formats.value(value)}): {bound.next_why}"
    return said, turn, toml({**nearest.axes, str(bound.next_axis): 2 * value, **conditions}, target, asked)


def _named(bound: Bottleneck | None) -> str:
    return bound.name if bound is not None and bound.name else "what is not determined"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value)

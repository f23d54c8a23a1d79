"""The configurations of a run: which axes an operator chose, and what their cells together say of a load."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct

from reports import formats
from reports.advice import proof
from reports.advice.proof import Drained, Shown
from reports.answer.objective import LatencyObjective
from reports.cells import axes
from reports.cells.axes import CONSUMERS, PARTITIONS
from reports.cells.cells import Cell

API_PROCESSES = "api_processes"
SIZES = (CONSUMERS, PARTITIONS, API_PROCESSES)
"""What makes a configuration small, in this order."""
SMALLEST = "fewest consumers, then fewest partitions per topic, then fewest API processes"


class Configuration(Struct, frozen=True):
    """One configuration, what its cells showed of the load that is asked for, and what they come to.

    ``status``: holds, misses, unclear, or excluded by a drain. ``shown``: the evidence that decides it, or the highest
    load that was held where none does; None where its cells are drains alone. ``above``: the lowest load, above the one
    asked for, that was shown to miss it. ``held``: the highest load that it held.
    """

    axes: dict[str, object]
    words: str
    status: str
    shown: Shown | None
    above: Shown | None
    drained: Drained | None
    held: Shown | None = None


def _size(one: Configuration) -> tuple[int, ...]:
    return tuple(int(str(one.axes.get(name) or 0)) for name in SIZES)


def weigh(cells: Sequence[Cell], asked: LatencyObjective, target: float) -> list[Configuration]:
    """Weigh every configuration of cells of one workload for one load, smallest first; drains alone too."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.kind.proves_loads:
            groups.setdefault(json.dumps(proof.configuration(cell), sort_keys=True), []).append(cell)
    drains = [cell for cell in cells if not cell.kind.whole_path]
    measured = [(proof.configuration(group[0]), group) for group in groups.values()]
    measured += [
        (own, [])
        for own in (proof.configuration(drain) for drain in drains)
        if not any(_same(own, chosen) for chosen, _ in measured)
    ]
    through = [cell.plan for cell in cells if cell.kind.proves_loads]
    varying = (*axes.naming(through).varying, *axes.naming(cell.plan for cell in drains).varying)
    found = []
    for chosen, group in measured:
        shown = [one for cell in group for one in proof.of_cell(cell, asked, target)]
        drained = next((proof.of_drain(cell) for cell in drains if _same(proof.configuration(cell), chosen)), None)
        status, decisive = _weigh(shown, drained, target)
        above = [one for one in shown if one.status == "misses" and one.load_events_per_s > target]
        least = min(above, key=_load, default=None)
        held = max((one for one in shown if one.status == "holds"), key=_load, default=None)
        found.append(Configuration(chosen, _words(chosen, varying), status, decisive, least, drained, held))
    return sorted(found, key=_size)


def _weigh(shown: Sequence[Shown], drained: Drained | None, target: float) -> tuple[str, Shown | None]:
    """Come to one status: what was missed at no more than the load counts for more than what was held at it."""
    missed = [one for one in shown if one.status == "misses" and one.load_events_per_s <= target]
    if missed:
        return "misses", min(missed, key=_load)
    held = [one for one in shown if one.status == "holds" and one.load_events_per_s >= target]
    if held:
        return "holds", min(held, key=_load)
    if drained and drained.most_events_per_s < target:
        return "excluded", max(shown, key=lambda one: (one.status == "holds", one.load_events_per_s), default=None)
    near = [one for one in shown if one.sure is not None and one.status == "unclear"]
    most = max(near or shown, key=lambda one: (one.status == "holds", one.load_events_per_s), default=None)
    return "unclear", most


def _load(one: Shown) -> float:
    return one.load_events_per_s


def _same(of_drain: dict[str, object], chosen: dict[str, object]) -> bool:
    """A drain has no API: it bounds every configuration that is alike in the rest."""
    return of_drain.items() <= chosen.items()


def _words(chosen: dict[str, object], varying: Sequence[str]) -> str:
    """Say a configuration in words; of its other axes, those that vary in the run."""
    sizes = [
        formats.plural(int(str(chosen.get(CONSUMERS) or 0)), "consumer"),
        formats.plural(int(str(chosen.get(PARTITIONS) or 0)), "partition") + " per topic",
    ]
    if chosen.get(API_PROCESSES) is not None:
        sizes.append(formats.plural(int(str(chosen[API_PROCESSES])), "API process", "API processes"))
    others = [axes.words(name, chosen[name]) for name in dict.fromkeys(varying) if name in chosen and name not in SIZES]
    return ", ".join([*sizes, *others])

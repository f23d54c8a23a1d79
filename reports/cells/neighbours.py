"""What a cell's neighbours show about it: the axis that made another cell faster is what bounded this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from bundle.interval import Interval
from bundle.manifest import CellPlan
from reports import formats, kinds
from reports.cells import axes
from reports.cells.axes import CONSUMERS, PARTITIONS
from reports.cells.bottleneck import THIN, UNKNOWN, Bottleneck
from reports.cells.saturation import LimitUse

PARALLELISM = "parallelism"
_TRIED = (CONSUMERS, PARTITIONS, "batch_max_events")
_NO_AXIS = "no axis of this run helped: what the parts wait for is not among what was watched"


class MeasuredCell(NamedTuple):
    """What is needed of a cell."""

    plan: CellPlan
    throughput: Interval | None
    bottleneck: Bottleneck | None


def refine(cells: Sequence[MeasuredCell]) -> list[Bottleneck | None]:
    """Find from its neighbours what bounds a cell where nothing else did: which axis, one level up, made it faster.

    Faster: the intervals of the throughputs do not overlap. Only drains, whose throughput is what they can do.
    """
    return [_with_neighbours(cell, cells) for cell in cells]


def _with_neighbours(cell: MeasuredCell, cells: Sequence[MeasuredCell]) -> Bottleneck | None:
    found = cell.bottleneck
    if found is None or found.resource not in (THIN, UNKNOWN) or cell.throughput is None:
        return found
    if kinds.named(cell.plan.kind).whole_path:
        return found
    own, in_vain = cell.throughput, []
    for axis in _TRIED:
        other = _next_level(cell, cells, axis)
        gained = other.throughput if other else None
        if other is None or gained is None or gained.low is None or own.high is None:
            continue
        value = formats.value(other.plan.axes[axis])
        gain = f"{formats.rounded(gained.mean)} events/s with {value} {axes.title(axis)}"
        if own.high < gained.low:
            return structs.replace(
                found,
                resource=PARALLELISM,
                name="too little parallelism" if axis in (CONSUMERS, PARTITIONS) else "small batches",
                determined=True,
                because=f"{gain}, {formats.rounded(own.mean)} here; {found.because}",
                evidence=(*found.evidence, _evidence(axis, own, gained)),
                next_axis=axis,
                next_why="measured: one level more of it is faster",
            )
        in_vain.append((axis, gain))
    if not in_vain:
        return found
    because = f"{found.because}; more was not shown to help: {', '.join(gain for _, gain in in_vain)}"
    found = structs.replace(found, because=f"{because}, {formats.rounded(own.mean)} here")
    if found.next_axis is None:
        return found
    left = [axis for axis in _TRIED[:2] if axis not in dict(in_vain)]
    return (
        structs.replace(found, next_axis=left[0]) if left else structs.replace(found, next_axis=None, next_why=_NO_AXIS)
    )


def _evidence(axis: str, own: Interval, gained: Interval) -> LimitUse:
    return LimitUse(axis, "worker", "throughput", own.mean, gained.mean, "events/s", 1.0, 0, own.n)


def _next_level(cell: MeasuredCell, cells: Sequence[MeasuredCell], axis: str) -> MeasuredCell | None:
    """Find the cell that differs by the next higher value of ``axis`` alone."""
    mine = cell.plan.axes.get(axis)
    if not isinstance(mine, int | float):
        return None
    rest = {name: value for name, value in cell.plan.axes.items() if name != axis}
    higher = [
        other
        for other in cells
        if other.plan.kind == cell.plan.kind
        and isinstance(other.plan.axes.get(axis), int | float)
        and other.plan.axes[axis] > mine
        and {name: value for name, value in other.plan.axes.items() if name != axis} == rest
    ]
    return min(higher, key=lambda other: float(other.plan.axes[axis]), default=None)

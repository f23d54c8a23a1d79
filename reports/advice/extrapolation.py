"""What fitted curves of capacity cells say beyond the measured numbers of consumers: never a proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from reports import kinds
from reports.advice import proof
from reports.answer import objective
from reports.answer.objective import LatencyObjective
from reports.cells.cells import Cell
from reports.cells.saturation import MACHINE_BUSY
from reports.scaling import scaling
from reports.scaling.scaling import Scaling


class Extrapolation(Struct, frozen=True, kw_only=True):
    """What a fitted curve says beyond what was measured: no proof. The interval is that of the curve at that number."""

    consumers: int
    label: str
    axes: dict[str, object]
    events_per_s: float
    low_events_per_s: float
    high_events_per_s: float
    measured_up_to: int
    assumptions: tuple[str, ...]


def along(
    cores_there: float, cells: Sequence[Cell], curves: Sequence[Scaling], target: float, asked: LatencyObjective
) -> tuple[Extrapolation | None, str]:
    """Look along fitted curves of capacity cells for the fewest consumers at which they surely reach the load.

    The second value says why there is no extrapolation, empty where there is one.
    """
    by_id = {cell.plan.id: cell for cell in cells}
    searched = [
        curve
        for curve in curves
        if kinds.named(curve.kind).searched and all(level.cell in by_id for level in curve.levels)
    ]
    if not searched:
        return None, "no capacity cells were measured over several numbers of consumers, so there is no curve to follow"
    found, reasons = [], []
    for curve in searched:
        one, why = _along_one(cores_there, by_id, curve, target, asked)
        found += [one] if one else []
        reasons += [f"{curve.label}: {why}"] if why else []
    return min(found, key=lambda one: one.consumers, default=None), "" if found else "; ".join(reasons)


def _along_one(
    cores_there: float, by_id: Mapping[str, Cell], curve: Scaling, target: float, asked: LatencyObjective
) -> tuple[Extrapolation | None, str]:
    if curve.fit is None:
        return None, curve.why
    most = max(level.consumers for level in curve.levels if not level.left_out)
    above = [level.left_out for level in curve.levels if level.consumers > most]
    if above:
        return None, f"the curve ends where {above[0]}"
    last = by_id[next(level.cell for level in curve.levels if level.consumers == most)]
    if last.capacity is None or not asked.follows_from(objective.find(last.capacity.objective)):
        return None, "its searches asked for something else"
    points = [point for point in curve.fit.curve if point.consumers > most]
    reached = next((point for point in points if point.low >= target), None)
    if reached is None:
        return None, f"up to {points[-1].consumers} consumers the fitted curve does not surely reach it"
    if not _cpu_is_enough(cores_there, last, target):
        return None, f"at what an event costs with {most} consumers, the machine's CPU would not be enough"
    found = Extrapolation(
        consumers=reached.consumers,
        label=curve.label,
        axes=proof.configuration(last),
        events_per_s=reached.value,
        low_events_per_s=reached.low,
        high_events_per_s=reached.high,
        measured_up_to=most,
        assumptions=scaling.ASSUMPTIONS,
    )
    return found, ""


def _cpu_is_enough(there: float, cell: Cell, target: float) -> bool:
    """Say whether the machine has the CPU for the load, at this cell's cost of an event; not known counts as yes."""
    cost = sum(cell.cpu_s_per_100k_events().values()) / 100_000
    return not there or not cost or cost * target <= MACHINE_BUSY * there

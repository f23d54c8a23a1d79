"""Capacity cells: one search in each run; its probes show how sure the answer is, so two answers can be compared.

Compared is the load at which the objective stops being held: the middle of the loads that the probes of a search leave
plausible, and the interval around it. The confirmed answer itself is lower, by up to the search's steps.
"""

from __future__ import annotations

import math

from bundle.capacity import CapacityAnswer
from reports import formats
from reports.cells.cells import Cell
from stats import intervals


def obstacle(base: Cell, new: Cell) -> str:
    """Say why two searches cannot be compared; empty if they can."""
    sides = [("BASE", base.capacity), ("NEW", new.capacity)]
    if base.capacity is None or new.capacity is None:
        return f"the search of {' and '.join(name for name, found in sides if found is None)} has not ended"
    if base.capacity.objective != new.capacity.objective:
        return f"the objectives are not the same: {base.capacity.objective} in BASE, {new.capacity.objective} in NEW"
    open_ = [name for name, found in sides if found is not None and middle(found) is None]
    if open_:
        return f"the probes of {' and '.join(open_)} bound the limit on one side only: {spans(base, new)}"
    return ""


def log_ratio(base: Cell, new: Cell) -> tuple[float, float]:
    """Return the logarithm of NEW / BASE and its standard error; NaN if the two cannot be compared."""
    if base.capacity is None or new.capacity is None or obstacle(base, new):
        return math.nan, math.nan
    errors = [_standard_error(found) for found in (base.capacity, new.capacity)]
    return math.log((middle(new.capacity) or 1.0) / (middle(base.capacity) or 1.0)), math.hypot(*errors)


def middle(found: CapacityAnswer) -> float | None:
    """Return the middle of what the probes leave plausible (events/s), None if they do not bound it on both sides.

    In older runs, without the median, it is the geometric middle of the interval.
    """
    if not found.low_events_per_s or not found.high_events_per_s:
        return None
    return found.median_events_per_s or math.sqrt(found.low_events_per_s * found.high_events_per_s)


def spans(base: Cell, new: Cell) -> str:
    """Say where both searches found the limit."""
    return ", ".join(
        f"{_span(cell.capacity)} in {name}" for name, cell in (("BASE", base), ("NEW", new)) if cell.capacity
    )


def _standard_error(found: CapacityAnswer) -> float:
    """Return the standard error of the logarithm of the limit, from its interval as one of a normal distribution."""
    return intervals.log_error(found.low_events_per_s or 1.0, found.high_events_per_s or 1.0, found.confidence)


def _span(found: CapacityAnswer) -> str:
    low, high = found.low_events_per_s, found.high_events_per_s
    sure = "" if found.confirmed else ", its answer not confirmed,"
    if low is not None and high is not None:
        return f"{formats.rounded(low)} to {formats.rounded(high)} events/s{sure}"
    if low is None and high is None:
        return f"nothing{sure}"
    return (f"above {formats.rounded(low)}" if high is None else f"below {formats.rounded(high)}") + f" events/s{sure}"

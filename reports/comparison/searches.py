"""Capacity cells: one search a run, so that the intervals of the two searches decide, and no test."""

from __future__ import annotations

from reports import formats
from reports.cells import Cell
from reports.comparison.inference import Verdict
from reports.comparison.measures import SUSTAINABLE
from reports.comparison.outcome import Ratio, Rules
from reports.schema import Capacity

_ONLY_SEARCH = 1


def judge(base: Cell, new: Cell, rules: Rules) -> tuple[Ratio, Verdict, str]:
    """Compare two searches: apart only if their intervals share no load, for one search a run shows no spread.

    The interval of the ratio goes from the one's least over the other's most to the reverse: it is wider than a 95%
    interval of the ratio would be.
    """
    ratio = Ratio(SUSTAINABLE, _values(base), _values(new))
    if base.capacity is None or new.capacity is None:
        sides = [name for name, cell in (("BASE", base), ("NEW", new)) if cell.capacity is None]
        return ratio, "cannot tell", f"the search of {' and '.join(sides)} has not ended"
    ratio = _ratio(base.capacity, new.capacity)
    if base.capacity.objective != new.capacity.objective:
        asked = f"{base.capacity.objective} in BASE, {new.capacity.objective} in NEW"
        return ratio, "cannot tell", f"the objectives are not the same: {asked}"
    sides = [name for name, cell in (("BASE", base), ("NEW", new)) if cell.capacity and not cell.capacity.confirmed]
    if sides:
        return ratio, "cannot tell", f"the answer of {' and '.join(sides)} was not confirmed"
    return ratio, *_apart(ratio, base.capacity, new.capacity, rules)


def _apart(ratio: Ratio, base: Capacity, new: Capacity, rules: Rules) -> tuple[Verdict, str]:
    told = f"{_span(base)} in BASE, {_span(new)} in NEW"
    edge = 1 + rules.floor
    if ratio.low is not None and ratio.low > 1 and (ratio.ratio or ratio.low) >= edge:
        return "faster", f"the intervals of the two searches are apart: {told}"
    if ratio.high is not None and ratio.high < 1 and (ratio.ratio or ratio.high) <= 1 / edge:
        return "slower", f"the intervals of the two searches are apart: {told}"
    if ratio.low is not None and ratio.high is not None and ratio.low >= 1 / edge and ratio.high <= edge:
        return "same", f"the whole interval lies within {rules.floor:.0%} of no change"
    return "cannot tell", f"one search of each run, and their intervals are not apart by the floor: {told}"


def _ratio(base: Capacity, new: Capacity) -> Ratio:
    return Ratio(
        measure=SUSTAINABLE,
        base={_ONLY_SEARCH: base.sustainable_events_per_s} if base.sustainable_events_per_s else {},
        new={_ONLY_SEARCH: new.sustainable_events_per_s} if new.sustainable_events_per_s else {},
        rounds=1,
        ratio=_quotient(new.sustainable_events_per_s, base.sustainable_events_per_s),
        low=_quotient(new.low_events_per_s, base.high_events_per_s),
        high=_quotient(new.high_events_per_s, base.low_events_per_s),
    )


def _quotient(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _values(cell: Cell) -> dict[int, float]:
    found = SUSTAINABLE.of_cell(cell)
    return {_ONLY_SEARCH: found} if found else {}


def _span(capacity: Capacity) -> str:
    low = "0" if capacity.low_events_per_s is None else formats.rounded(capacity.low_events_per_s)
    high = "an unknown load" if capacity.high_events_per_s is None else formats.rounded(capacity.high_events_per_s)
    return f"{low} to {high} events/s"

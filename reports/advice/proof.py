"""What the cells of a run prove of a configuration: which load it held under an objective, and which it did not.

A steady cell proves its own load, a capacity cell the lower end of its interval; a drain proves nothing of the whole
path, and bounds it from above. docs/usage.md ("Which configuration holds a load") has the rules in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Literal

from msgspec import Struct
from scipy import special

from bundle.capacity import CapacityAnswer
from bundle.reading import Repeat
from bundle.result import Result, Sustained
from reports import formats
from reports.answer import objective, searches, verdict
from reports.answer.objective import LatencyObjective
from reports.cells.bottleneck import KEPT_UP
from reports.cells.cells import Cell
from stats import intervals

WORKLOAD = (
    "payload_bytes",
    "key_skew",
    "visitor_share",
    "event_mix",
    "acks",
    "write_concern",
    "replication",
    "mongo_members",
)
"""What is offered and how durable it is: what is proven under one of these is not proven under another."""
NOT_A_CHOICE = (*WORKLOAD, "offered_load", "generator_processes")
PROBES_ENOUGH = 2
"""Probes at one load that have to meet an objective which their search did not ask for."""
Status = Literal["holds", "misses", "unclear"]
_OF_AN_OBJECTIVE = "objective "


class Shown(Struct, frozen=True):
    """What one cell showed at one load: its configuration ``holds`` or ``misses`` the objective, or it is unclear.

    ``how``: on which evidence, or why not, in words. ``value_ms``: the highest of its repeats' percentiles, None where
    a search's own verdict is what shows it. ``repeats``: how many that is. ``sure``: of a search, the probability that
    it leaves for the load being below its limit; None elsewhere.
    """

    cell: str
    load_events_per_s: float
    status: Status
    how: str
    repeats: int
    value_ms: float | None = None
    sure: float | None = None


class Drained(Struct, frozen=True):
    """What a drain cell bounds: ``most_events_per_s`` is the upper end of its interval, or its mean without one."""

    cell: str
    events_per_s: float
    most_events_per_s: float


def configuration(cell: Cell) -> dict[str, object]:
    """Return the axes that an operator can choose."""
    return {name: value for name, value in cell.plan.axes.items() if value is not None and name not in NOT_A_CHOICE}


def workload(cell: Cell) -> dict[str, object]:
    """Return the axes that say what is offered, and how durable it has to be."""
    return {name: cell.plan.axes[name] for name in WORKLOAD if cell.plan.axes.get(name) is not None}


def of_cell(cell: Cell, asked: LatencyObjective, target: float) -> Iterator[Shown]:
    """Return what a steady or a capacity cell shows of the objective; a capacity cell may show several loads."""
    found = [(repeat.result, text) for repeat in cell.valid for text in _findings(repeat)]
    results = [repeat.result for repeat in cell.valid]
    if found:
        load, text = min(((result.offered_load_events_per_s or 0.0, text) for result, text in found), key=itemgetter(0))
        yield Shown(cell.plan.id, load, "misses", f"it has findings: {text}", len(results))
    if found and not cell.kind.searched:
        return
    if not results and not (cell.capacity and cell.capacity.sustainable_events_per_s):
        yield Shown(cell.plan.id, 0.0, "unclear", _without_a_repeat(cell), 0)
    elif cell.kind.searched:
        yield from _of_search(cell, asked, target)
    elif cell.offered_load is not None:
        yield _of_repeats(cell, results, cell.offered_load, asked)


def of_drain(cell: Cell) -> Drained | None:
    """Return the bound of a drain cell, None without a valid repeat."""
    interval = cell.throughput
    return Drained(cell.plan.id, interval.mean, interval.high or interval.mean) if interval else None


def _findings(repeat: Repeat) -> list[str]:
    """Return what went wrong; whether an objective of the matrix was missed is another question than the one asked."""
    return [found.text for found in verdict.of_repeat(repeat) if not found.text.startswith(_OF_AN_OBJECTIVE)]


def _of_repeats(cell: Cell, results: Sequence[Result], load: float, asked: LatencyObjective) -> Shown:
    """Hold each repeat at one load against the objective, and see whether it kept up."""
    count, of = len(results), cell.plan.id
    status, why = _kept_up(results)
    if status != "holds":
        return Shown(of, load, status, why, count)
    values = [value for result in results if (value := asked.value_ms(result)) is not None]
    missed = [value for value in values if asked.missed(value)]
    worst = max(values, default=None)
    if missed:
        return Shown(of, load, "misses", _some(len(missed), count) + asked.missed(max(missed)), count, worst)
    name = asked.name
    if worst is not None and len(values) == count:
        how = f"{name} at most {formats.milliseconds(worst)} ms in {formats.plural(count, 'repeat')}, no findings"
        return Shown(of, load, "holds", how, count, worst)
    pooled = cell.percentile(asked.measure, asked.share) if not cell.kind.searched else None
    if pooled is not None and not asked.missed(pooled):
        how = f"{name} {formats.milliseconds(pooled)} ms in {formats.plural(count, 'repeat')} pooled, no findings"
        return Shown(of, load, "holds", how, count, pooled)
    how = f"too few requests to know the {name} in {count - len(values)} of {formats.plural(count, 'repeat')}"
    return Shown(of, load, "unclear", how, count, pooled)


def _kept_up(results: Sequence[Result]) -> tuple[Status, str]:
    """Say whether events were stored as fast as accepted, by rule 9's deficit and its bound, and if not, why.

    If the windows of single repeats are too short to decide, their mean decides: the errors of repeats are independent.
    Older runs, without the deficit of steady cells, have the share stored in the window. It can show that a cell kept
    up, but not that it did not, because one batch at the edge of the window changes it.
    """
    count = len(results)
    late = [result for result in results if result.kept_up is False]
    if late:
        why = f"{_some(len(late), count)}it did not keep up"
        sustained = [result.keeping_up for result in late if result.keeping_up]
        most = max(sustained, key=lambda each: each.deficit_events_per_s, default=None)
        return "misses", why + (f": {_deficit(most)}" if most else "")
    open_ = [result for result in results if result.kept_up is None]
    sustained = [result.keeping_up for result in results if result.keeping_up]
    if open_ and len(sustained) == count:
        deficit = sum(each.deficit_events_per_s for each in sustained) / count
        beyond = math.hypot(*(each.bound_events_per_s - each.deficit_events_per_s for each in sustained)) / count
        if deficit + beyond <= sum(each.allowed_events_per_s for each in sustained) / count:
            return "holds", ""
    if all((result.achieved or 0.0) >= KEPT_UP for result in open_ if not result.keeping_up and not result.probe):
        open_ = [result for result in open_ if result.keeping_up or result.probe]
    if not open_:
        return "holds", ""
    sustained = [result.keeping_up for result in open_ if result.keeping_up]
    most = max(sustained, key=lambda each: each.bound_events_per_s, default=None)
    why = f"{_some(len(open_), count)}whether it kept up is not clear"
    return "unclear", why + (f": {_deficit(most)}" if most else "")


def _deficit(of: Sustained) -> str:
    """Describe a deficit with its bounds and the allowed one."""
    deficit, low, bound, allowed = map(
        formats.rounded, (of.deficit_events_per_s, of.low_events_per_s, of.bound_events_per_s, of.allowed_events_per_s)
    )
    return f"{deficit} events/s more were accepted than stored ({low} to {bound}), {allowed} are allowed"


def _without_a_repeat(cell: Cell) -> str:
    """Say why no repeat of a cell counts."""
    reasons = cell.attempts[-1].result.reasons if cell.attempts else ()
    if not reasons:
        return "it has no valid repeat"
    return (
        f"it has no valid repeat: {formats.plural(len(cell.attempts), 'attempt')} void, the last because {reasons[0]}"
    )


def _some(number: int, count: int) -> str:
    return "" if count == 1 else f"in {number} of {count} repeats "


def _of_search(cell: Cell, asked: LatencyObjective, target: float) -> Iterator[Shown]:
    """A search proves the lower end of its interval, if what it asked for is what is asked now, or stricter."""
    answer, of = cell.capacity, cell.plan.id
    if answer is None or not asked.follows_from(objective.find(answer.objective)):
        why = f"the search asked for {answer.objective}" if answer else "the search has not ended"
        yield from _of_probes(cell, asked, why)
        return
    best, low, high = answer.sustainable_events_per_s, answer.low_events_per_s, answer.high_events_per_s
    if best is None:
        why = f"its search found no load that is sustained: {answer.ended}"
        yield Shown(of, high or 0.0, "misses" if high else "unclear", why, len(cell.valid))
        return
    count, how = len(cell.counted), _answered(answer)
    proven = best if low is None else min(best, low)
    yield Shown(of, proven, "holds", how, count, sure=limit_above(answer, proven))
    if proven < target:
        status: Status = "unclear" if high is None or target <= high else "misses"
        yield Shown(of, target, status, how, count, sure=limit_above(answer, target))


def _answered(answer: CapacityAnswer) -> str:
    """Say what a search found."""
    sustained = f"{formats.rounded(answer.sustainable_events_per_s)} events/s sustained"
    confirmed = "confirmed by repeats" if answer.confirmed else "not confirmed by repeats"
    return f"{sustained}, {confirmed}; its limit: {searches.interval(answer)} ({answer.confidence:.0%} interval)"


def limit_above(answer: CapacityAnswer, load: float) -> float | None:
    """Return the probability that the limit of a search lies above a load, None where its probes do not bound it.

    It takes the logarithms of the interval as those of a normal distribution, and never exceeds the probability at the
    interval's end, because the interval says nothing beyond it.
    """
    low, high = answer.low_events_per_s, answer.high_events_per_s
    if low and load <= low:
        return 1 - (1 - answer.confidence) / 2
    if not low or not high or not high > low:
        return None
    middle = answer.median_events_per_s or math.sqrt(low * high)
    end = low if load < middle else high
    away = intervals.normal_quantile(answer.confidence) * math.log(load / middle) / abs(math.log(end / middle))
    outside = (1 - answer.confidence) / 2
    return min(max(float(special.ndtr(-away)), outside), 1 - outside)


def _of_probes(cell: Cell, asked: LatencyObjective, why: str) -> Iterator[Shown]:
    """Take the probes as repeats at their loads, where the search gives no answer to what is asked, and ``why``."""
    by_load: dict[float, list[Result]] = {}
    for repeat in cell.valid:
        by_load.setdefault(repeat.result.offered_load_events_per_s or 0.0, []).append(repeat.result)
    for load, results in sorted(by_load.items()):
        shown = _of_repeats(cell, results, load, asked)
        if shown.status == "holds" and len(results) < PROBES_ENOUGH:
            how = f"one probe alone met it, and {why}"
            shown = Shown(cell.plan.id, load, "unclear", how, 1, shown.value_ms)
        yield shown

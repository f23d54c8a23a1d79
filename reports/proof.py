"""What the cells of a run prove of a configuration: which load it held under an objective, and which it did not.

A steady cell proves its own load, a capacity cell the lower end of its interval; a drain proves nothing of the whole
path, and bounds it from above. docs/methodology.md ("Advice") gives the rules in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from reports import formats, objective, verdict
from reports.bottleneck import KEPT_UP
from reports.bundle import CAPACITY, Repeat
from reports.cells import Cell
from reports.objective import Objective
from reports.schema import Result

WORKLOAD = ("payload_bytes", "key_skew", "visitor_share", "event_mix", "acks", "write_concern")
"""What is offered and how durable it is: what is proven under one of these is not proven under another."""
NOT_A_CHOICE = (*WORKLOAD, "offered_load", "generator_processes")
PROBES_ENOUGH = 2
"""Probes at one load that have to meet an objective which their search did not ask for."""
Status = Literal["holds", "misses", "unclear"]
_OF_AN_OBJECTIVE = "objective "


class Shown(Struct, frozen=True):
    """What one cell showed at one load: its configuration ``holds`` or ``misses`` the objective, or it is unclear.

    ``how``: on which evidence, or why not, in words. ``value_ms``: the highest of its repeats' percentiles, None where
    a search's own verdict is what shows it. ``repeats``: how many that is.
    """

    cell: str
    load_events_per_s: float
    status: Status
    how: str
    repeats: int
    value_ms: float | None = None


class Drained(Struct, frozen=True):
    """What a drain cell bounds: ``most_events_per_s`` is the upper end of its interval, or its mean without one."""

    cell: str
    events_per_s: float
    most_events_per_s: float


def configuration(cell: Cell) -> dict[str, object]:
    """Give the axes that an operator can choose."""
    return {name: value for name, value in cell.plan.axes.items() if value is not None and name not in NOT_A_CHOICE}


def workload(cell: Cell) -> dict[str, object]:
    """Give the axes that say what is offered, and how durable it has to be."""
    return {name: cell.plan.axes[name] for name in WORKLOAD if cell.plan.axes.get(name) is not None}


def of_cell(cell: Cell, asked: Objective, target: float) -> Iterator[Shown]:
    """Give what a steady or a capacity cell shows of the objective; a capacity cell may show several loads."""
    found = [finding for repeat in cell.attempts for finding in _findings(repeat)]
    results = [repeat.result for repeat in cell.valid]
    if found:
        loads = [repeat.result.offered_load_events_per_s or 0.0 for repeat in cell.attempts]
        yield Shown(cell.plan.id, min(loads), "misses", f"it has findings: {found[0]}", len(results))
    elif cell.plan.kind == CAPACITY:
        yield from _of_search(cell, asked, target)
    elif not results or cell.offered_load is None:
        yield Shown(cell.plan.id, 0.0, "unclear", "it has no valid repeat", 0)
    else:
        yield _of_repeats(cell, results, cell.offered_load, asked)


def of_drain(cell: Cell) -> Drained | None:
    """Give the bound of a drain cell, None without a valid repeat."""
    interval = cell.throughput
    return Drained(cell.plan.id, interval.mean, interval.high or interval.mean) if interval else None


def _findings(repeat: Repeat) -> list[str]:
    """Give what went wrong; whether an objective of the matrix was missed is another question than the one asked."""
    return [found.text for found in verdict.of_repeat(repeat) if not found.text.startswith(_OF_AN_OBJECTIVE)]


def _of_repeats(cell: Cell, results: Sequence[Result], load: float, asked: Objective) -> Shown:
    """Hold each repeat at one load against the objective, and see whether it kept up."""
    count, of = len(results), cell.plan.id
    late = [result for result in results if not _kept_up(result)]
    if late:
        stored = formats.share(min(result.achieved or 0.0 for result in late))
        how = f"{_some(len(late), count)}{stored} of what was offered was stored in the window: it did not keep up"
        return Shown(of, load, "misses", how, count)
    values = [value for result in results if (value := asked.value_ms(result)) is not None]
    missed = [value for value in values if asked.missed(value)]
    worst = max(values, default=None)
    if missed:
        return Shown(of, load, "misses", _some(len(missed), count) + asked.missed(max(missed)), count, worst)
    name = asked.name
    if worst is not None and len(values) == count:
        how = f"{name} at most {formats.milliseconds(worst)} ms in {formats.plural(count, 'repeat')}, no findings"
        return Shown(of, load, "holds", how, count, worst)
    pooled = cell.percentile(asked.measure, asked.share) if cell.plan.kind != CAPACITY else None
    if pooled is not None and not asked.missed(pooled):
        how = f"{name} {formats.milliseconds(pooled)} ms in {formats.plural(count, 'repeat')} pooled, no findings"
        return Shown(of, load, "holds", how, count, pooled)
    how = f"too few requests to tell the {name} in {count - len(values)} of {formats.plural(count, 'repeat')}"
    return Shown(of, load, "unclear", how, count, pooled)


def _kept_up(result: Result) -> bool:
    """Say whether as much was stored as came in: of a probe by its bound, else by what was stored in the window."""
    if result.probe is not None:
        return result.probe.deficit_bound_events_per_s <= result.probe.allowed_events_per_s
    return (result.achieved or 0.0) >= KEPT_UP


def _some(number: int, count: int) -> str:
    return "" if count == 1 else f"in {number} of {count} repeats "


def _of_search(cell: Cell, asked: Objective, target: float) -> Iterator[Shown]:
    """A search proves the lower end of its interval, if what it asked for is what is asked now, or stricter."""
    answer, of = cell.capacity, cell.plan.id
    if answer is None or not asked.follows_from(objective.find(answer.objective)):
        why = f"the search asked for {answer.objective}" if answer else "the search has not ended"
        yield from _of_probes(cell, asked, why)
        return
    best, low, high = answer.sustainable_events_per_s, answer.low_events_per_s, answer.high_events_per_s
    if best is None or not answer.confirmed:
        tried = min((repeat.result.offered_load_events_per_s or 0.0 for repeat in cell.valid), default=0.0)
        status: Status = "unclear" if best else "misses"
        yield Shown(of, best or tried, status, f"its search confirmed no load: {answer.ended}", len(cell.valid))
        return
    proven, count = best if low is None else min(best, low), len(cell.counted)
    ends = f"{answer.confidence:.0%} interval {formats.rounded(low)} to {formats.rounded(high)}"
    how = f"sustainable throughput {formats.rounded(best)} events/s, {ends}, confirmed, no findings"
    yield Shown(of, proven, "holds", how, count)
    if proven < target:
        yield Shown(of, target, "unclear" if high is None or target <= high else "misses", how, count)


def _of_probes(cell: Cell, asked: Objective, why: str) -> Iterator[Shown]:
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

"""The searches of a session: one probe of each in turn; the next is prepared while the last is audited."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import kinds
from bench.cells.axes import AXES, EVERYWHERE
from bench.cells.cellspec import CellSpec
from bench.cells.objective import OfferedLoad
from bench.kinds.capacity import CapacityCell
from bench.kinds.offer import Offer, events_per_s
from bench.run.execution import QueuedRepeat, Run, attempt, is_done, prepare, so_far
from bench.run.plan import PlannedRepeat
from bench.run.ready import Ahead
from bench.run.repeatspec import RepeatSpec
from bench.search import capacity
from bench.search.capacity import NextProbe
from bench.search.search import SearchAnswer
from bench.targets.servers import Servers
from bundle.result import Result

FEWEST_PROBES = 3
"""The probes that a search gets even if the time for all searches is used up: below, above, and a confirmation."""
_A_LITTLE_LESS = 0.9  # of a neighbour's seeming limit: a first probe that is sustained says more

_Drained = tuple[object, ...]
"""The values of the axes that all kinds have: they say which drain belongs to a search."""


async def search(runs: Sequence[Run], searches: Sequence[QueuedRepeat], started: Servers, ahead: Ahead) -> None:
    """Run one probe of each search in turn, so that a drift of the machine spreads over all of them."""
    then: _Then | None = None
    while unfinished := [queued for queued in searches if not is_done(*queued)]:
        queued = then.queued if then is not None and then.queued is not None else _next(unfinished, runs)
        run, planned = queued
        step = step_of(queued, runs)
        if isinstance(step, SearchAnswer):
            found = capacity.conclude(planned.cell, run.matrix.objective_of(planned.cell), step, _results(queued))
            run.bundle.write_capacity(found)
            run.display.search_finished(run.as_shown(found))
            if then is not None:
                await then.forget()
            continue
        then = _Then([each for each in unfinished if each is not queued], runs, started, ahead)
        await attempt(run, PlannedRepeat(planned.cell, step.number), _offer(step), started, then)


def share_of(here: Sequence[QueuedRepeat], searches: Sequence[QueuedRepeat]) -> float:
    """Return the share of the time for all ``searches`` that those may take that are over when those ``here`` are.

    Each search has the same part; what one does not need goes to those after it.
    """
    behind = [queued for queued in searches if queued not in here and is_done(*queued)]
    return len(behind + list(here)) / len(searches)


@dataclass
class _Then:
    """The next probe: of another search, because its results are complete.

    ``queued``: that search, None if nothing was begun; ``folder``: that of its probe.
    """

    others: Sequence[QueuedRepeat]
    runs: Sequence[Run]
    started: Servers
    ahead: Ahead
    queued: QueuedRepeat | None = None
    folder: Path | None = None

    def begin(self, before: RepeatSpec) -> None:  # noqa: ARG002 - what was measured is of no search beside it
        """Begin to make it ready."""
        if not self.others:
            return
        queued = _next(self.others, self.runs)
        run, planned = queued
        step = step_of(queued, self.runs, under_way_s=capacity.probe_s(planned.cell, _results(queued)))
        if run.fresh or isinstance(step, SearchAnswer):
            return
        self.queued = queued
        self.folder = prepare(run, PlannedRepeat(planned.cell, step.number), _offer(step), self.started, self.ahead)

    async def forget(self) -> None:
        """Drop a prepared probe that will not be run because no time is left."""
        await self.ahead.drop()
        if self.queued is not None and self.folder is not None:
            self.queued[0].bundle.drop_repeat(self.folder)
        self.queued = self.folder = None


def _offer(step: NextProbe) -> Offer:
    return Offer(step.load_events_per_s, step=step.step)


def _results(queued: QueuedRepeat) -> list[Result]:
    run, planned = queued
    return [each for each in run.bundle.results() if each.cell == planned.cell.id]


def _next(unfinished: Sequence[QueuedRepeat], runs: Sequence[Run]) -> QueuedRepeat:
    """Choose the next search: one without an answer first, then the one with the fewest probes."""

    def urgency(queued: QueuedRepeat) -> tuple[bool, int]:
        step = step_of(queued, runs)
        return isinstance(step, NextProbe) and step.step == "interval", len(_results(queued))

    return min(unfinished, key=urgency)


def step_of(queued: QueuedRepeat, runs: Sequence[Run], under_way_s: float = 0.0) -> NextProbe | SearchAnswer:
    """Return what comes next in a search: another probe, or its answer, which it also gets when the time is used up.

    ``under_way_s``: the time of another search's probe that is not in the results yet.
    """
    run, planned = queued
    results = _results(queued)
    # Its own first load, once there is one: that which it would begin with now moves with the searches beside it.
    began_at = results[0].offered_load_events_per_s if results else None
    cell = _cell(queued)
    asked = capacity.SearchRequest(cell, began_at or first_load(cell, runs), _cores(run))
    step = capacity.next_step(asked, results)
    if isinstance(step, SearchAnswer) or len({each.round for each in results}) < FEWEST_PROBES:
        return step
    most_s = run.matrix.search_s
    needed_s = spent_s(runs) + under_way_s + capacity.probe_s(planned.cell, results)
    if most_s is None or needed_s <= most_s * len(runs) * run.search_share:
        return step
    return capacity.cut_short(asked, results, f"the {most_s:g} s for searching were used up")


def _cell(queued: QueuedRepeat) -> CapacityCell:
    cell = queued[1].cell
    if not isinstance(cell, CapacityCell):
        raise TypeError(f"{cell.id}: the cells of a kind that searches are of CapacityCell")
    return cell


def spent_s(runs: Iterable[Run]) -> float:
    """Return how long all probes of all searches took so far, void ones included."""
    return sum(
        capacity.took_s(each) for run in runs for each in run.bundle.results() if kinds.named(each.kind).searches
    )


def first_load(cell: CapacityCell, runs: Sequence[Run]) -> float:
    """Return the load of a search's first probe, in events/s.

    A share of what the drain of the same configuration reached. If other searches have probes already, the share at
    which their limit seems to be replaces the matrix's.
    """
    asked = cell.start_load
    if not isinstance(asked, OfferedLoad):
        return asked or 0.0
    results = [each for run in runs for each in run.bundle.results()]
    cells = {each.id: each for run in runs for each in run.matrix.cells}
    cores = _cores(runs[0])
    drains = _drains(results, cells)
    if not drains:
        return events_per_s(asked, [so_far(run) for run in runs]) or asked.at_least
    slowest = min(drains.values())
    shares = [
        limit / drains.get(_drained(other), slowest)
        for other in cells.values()
        if other.id != cell.id and isinstance(other, CapacityCell)
        if (limit := _seeming_limit(other, results, cores)) is not None
    ]
    share = _A_LITTLE_LESS * statistics.median(shares) if shares else asked.share_of_drain
    return float(round(max(share * drains.get(_drained(cell), slowest), asked.at_least)))


def _drains(results: Iterable[Result], cells: Mapping[str, CellSpec]) -> dict[_Drained, float]:
    """Return what each configuration drained: the geometric mean of its valid repeats, in events/s."""
    reached: dict[_Drained, list[float]] = {}
    for each in results:
        kind = kinds.named(each.kind)
        rate = kind.reached(each) if kind.sets_loads and each.valid and each.cell in cells else None
        if rate:
            reached.setdefault(_drained(cells[each.cell]), []).append(rate)
    return {key: statistics.geometric_mean(rates) for key, rates in reached.items()}


def _drained(cell: CellSpec) -> _Drained:
    return (*(getattr(cell, name) for name in AXES if name in EVERYWHERE), cell.kafka, cell.mongod)


def _seeming_limit(cell: CapacityCell, results: Iterable[Result], cores: int) -> float | None:
    return capacity.seeming_limit(
        capacity.SearchRequest(cell, 1.0, cores), (each for each in results if each.cell == cell.id)
    )


def _cores(run: Run) -> int:
    return run.manifest.hardware.cores or 1

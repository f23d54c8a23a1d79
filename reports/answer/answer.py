"""The answer of a run: its first line, and the row of each configuration, for report, summaries and terminal.

The line says how many events/s the whole path holds, what breaks first above that, and how many events were lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bundle.capacity import CapacityAnswer
from bundle.interval import Interval
from bundle.result import Audit
from reports import formats
from reports.answer import breaking, objective, searches
from reports.answer.breaking import Broke
from reports.cells.axes import CONSUMERS, PARTITIONS
from reports.cells.cells import Cell
from stats.percentiles import PERCENTILES

MOST_WORDS = 29  # of the sentence: the outcome comes before it
SAME_ANSWER = 0.1  # a search looks no closer than 7 to 15%
_OBJECTIVE_MISSED = "objective missed"


class AnswerRow(NamedTuple):
    """One configuration: what it held with what interval, its percentiles (ms), what broke first, events lost.

    ``load``: held, None where no load was. ``drained``: how fast the same partitions and consumers drain.
    """

    label: str
    load: float | None
    interval: str
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    breaks: str
    lost: int
    drained: Interval | None


def rows(cells: Sequence[Cell], cores_there: float) -> tuple[AnswerRow, ...]:
    """Return the rows, searches first; a drain is in the row of the search with its configuration."""
    drains = [cell for cell in cells if not cell.kind.whole_path]
    alike = {cell.plan.id: _drain_of(cell, drains) for cell in cells if cell.kind.searched}
    joined = {drain.plan.id for drain in alike.values() if drain}
    shown = sorted((cell for cell in cells if cell.plan.id not in joined), key=lambda cell: not cell.kind.searched)
    several = len({cell.plan.kind for cell in shown}) > 1
    return tuple(_row(cell, alike.get(cell.plan.id), cores_there, several=several) for cell in shown)


def sentence(cells: Sequence[Cell], audit: Audit, cores_there: float, culprit: str = "") -> str:
    """Return the first line, of at most ``MOST_WORDS`` words; ``culprit``: why the run has no answer."""
    lines = (_joined(*clauses) for clauses in _shorter_and_shorter(cells, audit, cores_there, culprit))
    line = next((line for line in lines if len(line.split()) <= MOST_WORDS), None)
    line = line or _joined(_account(audit))
    return line[0].upper() + line[1:] + "."


def with_account(said: str, audit: Audit) -> str:
    """Make the first line of the answer to a question, with how many events were lost."""
    account = _account(audit)
    line = _joined(*((account, said) if audit.lost else (said, account)))
    return line[0].upper() + line[1:] + "."


def best(cells: Sequence[Cell]) -> Cell | None:
    """Return the capacity cell with the highest answer, confirmed ones first; None if no search found a load.

    Answers within ``SAME_ANSWER`` of the highest are as good as it: of these, a cell whose limit is bounded from above
    shows more, because what breaks there was seen.
    """
    found = [
        (cell.capacity.confirmed, cell.capacity.sustainable_events_per_s, cell)
        for cell in cells
        if cell.capacity and cell.capacity.sustainable_events_per_s
    ]
    if not found:
        return None
    confirmed, most, _ = max(found, key=lambda each: each[:2])
    alike = [(load, cell) for sure, load, cell in found if sure == confirmed and load >= (1 - SAME_ANSWER) * most]
    return max(alike, key=lambda each: (_is_bounded(each[1]), each[0]))[1]


def _is_bounded(cell: Cell) -> bool:
    return cell.capacity is not None and cell.capacity.high_events_per_s is not None


def fastest(cells: Sequence[Cell]) -> Cell | None:
    """Return the drain cell with the highest throughput, by geometric mean; None if no drain is valid."""
    measured = [(cell.throughput.mean, cell) for cell in cells if not cell.kind.whole_path and cell.throughput]
    return max(measured, key=lambda pair: pair[0])[1] if measured else None


def held(cell: Cell) -> bool | None:
    """Whether a steady cell held its load: each valid repeat kept up and none has a finding; None: not determined."""
    if any(repeat.result.findings or repeat.result.kept_up is False for repeat in cell.valid):
        return False
    return True if cell.valid and all(repeat.result.kept_up for repeat in cell.valid) else None


def _row(cell: Cell, drain: Cell | None, cores_there: float, *, several: bool) -> AnswerRow:
    own = cell if not cell.kind.whole_path else drain
    label = cell.label_with_kind if several and not cell.kind.searched else cell.label
    p50, p95, p99 = (cell.percentile("delivery_latency", PERCENTILES[n]) for n in ("p50", "p95", "p99"))
    lost = cell.audit.lost + (drain.audit.lost if drain else 0)
    load, interval, breaks = _held(cell, breaking.find(cell, cores_there))
    return AnswerRow(label, load, interval, p50, p95, p99, breaks, lost, own.throughput if own else None)


def _held(cell: Cell, broke: Broke | None) -> tuple[float | None, str, str]:
    """Return the load that a cell held, its interval, and what broke first."""
    if cell.kind.searched:
        found = cell.capacity
        interval = _span(found.low_events_per_s, found.high_events_per_s) if found else formats.NOTHING
        unsure = "" if found is None or found.confirmed or not found.sustainable_events_per_s else "not confirmed; "
        breaks = unsure + (broke.short if broke else "not determined")
        return (found.sustainable_events_per_s if found else None), interval, breaks
    if not cell.kind.whole_path:
        bound = cell.bottleneck
        name = _briefly(bound.name) if bound else ""
        return None, formats.NOTHING, f"bound by {name}" if name else breaking.NOT_DETERMINED
    kept = held(cell)
    said = {True: "nothing at this load", False: _not_held(cell), None: breaking.NOT_DETERMINED}[kept]
    return (cell.offered_load if kept else None), formats.NOTHING, said


def _not_held(cell: Cell) -> str:
    """Say in a few words why a steady cell did not hold its load."""
    texts = [text for repeat in cell.valid for text in repeat.result.findings]
    if any(text.startswith(_OBJECTIVE_MISSED) for text in texts):
        return _OBJECTIVE_MISSED
    return "findings" if texts else "backlog"


def _drain_of(cell: Cell, drains: Sequence[Cell]) -> Cell | None:
    """Find the drain of the same configuration, as far as a drain knows the axes."""
    for drain in drains:
        known = {name: value for name, value in drain.plan.axes.items() if value is not None}
        if known and all(cell.plan.axes.get(name) == value for name, value in known.items()):
            return drain
    return None


def _shorter_and_shorter(
    cells: Sequence[Cell], audit: Audit, cores_there: float, culprit: str
) -> Iterator[tuple[str, ...]]:
    """Yield the clauses of the first line: in full, then without what the table below has too."""
    account = _account(audit)
    for who in dict.fromkeys((culprit, "")):
        for brief in (False, True):
            said = _said(cells, cores_there, brief=brief)
            yield (account, *said, who) if audit.lost else (*said, who, account)


def _joined(*clauses: str) -> str:
    return "; ".join(clause for clause in clauses if clause)


def _said(cells: Sequence[Cell], cores_there: float, *, brief: bool) -> tuple[str, ...]:
    """Say what the path holds and what breaks first; if no search decides that, say what was measured."""
    most = best(cells)
    if most is not None and most.capacity is not None:
        return _held_by(most, most.capacity, brief=brief), _breaks(breaking.find(most, cores_there))
    searched = [cell for cell in cells if cell.kind.searched]
    failed = [cell for cell in searched if cell.held_nothing]
    if failed:
        lowest = min(failed, key=_lowest)
        at = "" if brief else f" at {_objective(lowest.capacity)}"
        none = f"no load was held{at}, not even {formats.rounded(_lowest(lowest))} events/s"
        return none, _breaks(breaking.find(lowest, cores_there))
    undecided = "what the whole path holds is not decided" if searched else ""
    drain = fastest(cells)
    if drain is not None and drain.throughput is not None:
        return undecided or "the whole path was not measured", _drained(drain, drain.throughput, brief=brief)
    steady = [cell for cell in cells if cell.valid and cell.offered_load is not None and _offers(cell)]
    if steady and not undecided:
        return _offered(max(steady, key=lambda cell: cell.offered_load or 0.0), brief=brief)
    nothing = (
        "no cell stored anything" if any(cell.valid for cell in cells) else "nothing is decided: no repeat is valid"
    )
    return (undecided or nothing,)


def _offers(cell: Cell) -> bool:
    """Whether its repeats show if one offered load is held."""
    return cell.kind.proves_loads and not cell.kind.searched


def _lowest(cell: Cell) -> float:
    return min(repeat.result.offered_load_events_per_s or 0.0 for repeat in cell.beyond)


def _held_by(cell: Cell, found: CapacityAnswer, *, brief: bool) -> str:
    sure = "" if found.confirmed else ", not confirmed,"
    number = formats.rounded(found.sustainable_events_per_s)
    limit = f"(limit {_span(found.low_events_per_s, found.high_events_per_s)})"
    at = "" if brief else f" at {_objective(found)}"
    return f"{_configuration(cell, brief=brief)} held{sure} {number} events/s {limit}{at}"


def _configuration(cell: Cell, *, brief: bool) -> str:
    """Name a cell's partitions, consumers and what else varies."""
    if brief:
        return cell.label.replace("\u00a0", " ")
    partitions, consumers = (int(cell.plan.axes.get(name) or 0) for name in (PARTITIONS, CONSUMERS))
    grid = f"{formats.plural(partitions, 'partition')} × {formats.plural(consumers, 'consumer')}"
    return ", ".join([grid, *cell.label.split(", ")[1:]])


def _breaks(broke: Broke | None) -> str:
    if broke is None or (broke.criterion is None and not broke.nothing_broke):
        return "what breaks first is not determined"
    if broke.criterion is None:
        return "no higher load was offered"
    verb = "break" if broke.criterion.endswith("s") else "breaks"
    return f"{broke.criterion} {verb} first, {f'on {broke.resource}' if broke.resource else 'cause not determined'}"


def _drained(cell: Cell, interval: Interval, *, brief: bool) -> str:
    spread = f" ({_span(interval.low, interval.high)})" if interval.low is not None else " (one repeat)"
    name = _briefly(cell.bottleneck.name) if cell.bottleneck else ""
    said = "" if brief else f", bound by {name}" if name else ", its limit not determined"
    return f"{_configuration(cell, brief=brief)} drained {formats.rounded(interval.mean)} events/s{spread}{said}"


def _briefly(name: str | None) -> str:
    """Leave out what is in brackets."""
    return name.partition(" (")[0] if name else ""


def _offered(cell: Cell, *, brief: bool) -> tuple[str, ...]:
    """Say whether the highest offered load was held; no search looked for more."""
    where, load = _configuration(cell, brief=brief), f"{formats.rounded(cell.offered_load)} events/s"
    kept = held(cell)
    if kept is None:
        return f"whether {where} held the {load} offered is not determined", "no search for the limit"
    if not kept:
        return f"{where} did not hold the {load} offered: {_not_held(cell)}", "no search for the limit"
    p99 = cell.percentile("delivery_latency", PERCENTILES["p99"])
    said = f" with p99 {formats.milliseconds(p99)} ms" if p99 is not None else ""
    return f"{where} held the {load} offered{said}", "no search for the limit"


def _objective(found: CapacityAnswer | None) -> str:
    """The objective in few words: ``p99 ≤ 1 s`` where it is one of delivery latency alone."""
    asked = objective.find(found.objective) if found else ()
    if len(asked) != 1:
        return "its objective"
    kind = "" if asked[0].measure == "delivery_latency" else "response "
    limit = searches.objective(found).replace("\u00a0", " ").rpartition("≤ ")[2]
    return f"{kind}{asked[0].percentile} ≤ {limit}"


def _account(audit: Audit) -> str:
    if not audit.accepted:
        return "no accepted event is counted"
    return f"{formats.count(audit.lost)} of {formats.count(audit.accepted)} events lost"


def _span(low: float | None, high: float | None) -> str:
    """An interval as one word: ``28,500–37,000``."""
    if low is None and high is None:
        return "unknown"
    if low is None:
        return f"<{formats.rounded(high)}"
    if high is None or math.isinf(high):
        return f">{formats.rounded(low)}"
    return f"{formats.rounded(low)}–{formats.rounded(high)}"

"""Tables as data: heads, text cells, which columns are numbers. Page and summary render them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports import formats, statistics
from reports.bottleneck import ROLE_NAMES, STAGE_NAMES
from reports.bundle import Bundle
from reports.cells import Cell
from reports.schema import Audit, Result

MEASURE_NAMES = {
    "delivery_latency": "Delivery latency",
    "response_time": "Response time",
    "service_time": "Service time",
}
PERCENTILE_NAMES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}
_AUDIT_COLUMNS = (
    ("offered", "offered"),
    ("accepted", "accepted"),
    ("rejected", "rejected"),
    ("in_doubt", "in doubt"),
    ("unsent", "unsent"),
    ("stored_accepted", "stored, accepted"),
    ("dead_lettered", "dead-lettered"),
    ("undrained", "undrained"),
    ("lost", "lost"),
    ("stored_in_doubt", "stored, in doubt"),
    ("stored_rejected", "stored, rejected"),
    ("stored_twice", "stored twice"),
    ("delivered_twice", "delivered twice"),
    ("foreign", "foreign"),
    ("compared", "compared"),
    ("differing", "differing"),
)


@dataclass(frozen=True)
class Table:
    """``numeric`` says, column by column, whether it holds numbers; ``marked`` are the indices of rows to stress."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Identity:
    """One identity as a sum: ``whole`` = the ``parts``; ``closes`` says whether it does."""

    name: str
    whole: tuple[str, int]
    parts: tuple[tuple[str, int], ...]
    closes: bool


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1, marked: Iterable[int] = ()) -> Table:
    """Make a table whose first ``text`` columns are words and the others numbers."""
    numeric = tuple(index >= text for index in range(len(heads)))
    return Table(tuple(heads), tuple(tuple(row) for row in rows), numeric, frozenset(marked))


def identities(audit: Audit) -> tuple[Identity, Identity]:
    """Give both identities of an audit, as sums."""
    offered: tuple[tuple[str, int], ...] = (("accepted", audit.accepted), ("rejected", audit.rejected))
    offered += (("in doubt", audit.in_doubt), ("unsent", audit.unsent))
    accepted: tuple[tuple[str, int], ...] = (
        ("stored (accepted)", audit.stored_accepted),
        ("dead-lettered", audit.dead_lettered),
    )
    accepted += (("undrained", audit.undrained), ("lost", audit.lost))
    return (
        Identity("Identity 1", ("offered", audit.offered), offered, audit.offered_closes),
        Identity("Identity 2", ("accepted", audit.accepted), accepted, audit.accepted_closes),
    )


def besides(audit: Audit) -> tuple[tuple[str, str, bool], ...]:
    """Give the counts that no identity holds: name, number, and whether it must be 0 and is not."""
    return (
        ("stored twice", formats.count(audit.stored_twice), audit.stored_twice > 0),
        ("foreign", formats.count(audit.foreign), audit.foreign > 0),
        (
            "differing",
            f"{formats.count(audit.differing)} of {formats.count(audit.compared)} compared",
            audit.differing > 0,
        ),
        ("stored, in doubt", formats.count(audit.stored_in_doubt), False),
        ("stored, rejected", formats.count(audit.stored_rejected), False),
        ("delivered twice (allowed)", formats.count(audit.delivered_twice), False),
    )


def audit_total(bundle: Bundle) -> Table:
    """Sum the audits of valid repeats, of void attempts, and of both: one row a count."""
    groups = {
        "valid repeats": [repeat for repeat in bundle.repeats if repeat.result.valid],
        "void attempts": [repeat for repeat in bundle.repeats if not repeat.result.valid],
        "all": list(bundle.repeats),
    }
    sums = [sum((r.result.audit for r in repeats if r.result.audit), Audit()) for repeats in groups.values()]
    columns = [_audit_cells(audit) for audit in sums]
    names = [*(head for _, head in _AUDIT_COLUMNS), "both identities"]
    heads = ["events", *(f"{name} ({len(repeats)})" for name, repeats in groups.items())]
    return table(heads, [[name, *row] for name, row in zip(names, zip(*columns, strict=True), strict=True)])


def audit_by_repeat(bundle: Bundle) -> Table:
    """One row an attempt, with whether it is valid and whether both identities close."""
    rows, marked = [], []
    for index, repeat in enumerate(bundle.repeats):
        if repeat.result.findings or not repeat.result.valid:
            marked.append(index)
        nothing = [formats.NOTHING] * (len(_AUDIT_COLUMNS) + 1)
        *counts, closed = _audit_cells(repeat.result.audit) if repeat.result.audit else nothing
        rows.append([repeat.name, "valid" if repeat.result.valid else "void", closed, *counts])
    heads = ["repeat", "validity", "identities", *(head for _, head in _AUDIT_COLUMNS)]
    return table(heads, rows, text=3, marked=marked)


def _audit_cells(audit: Audit) -> list[str]:
    closed = "close" if audit.offered_closes and audit.accepted_closes else "DO NOT CLOSE"
    return [*(formats.count(getattr(audit, name)) for name, _ in _AUDIT_COLUMNS), closed]


def steady(cells: Sequence[Cell]) -> Table:
    """What cells with an offered load stored of it."""
    rows = []
    for cell in cells:
        interval = cell.throughput
        rows.append(
            [
                cell.label,
                formats.count(cell.offered_load),
                formats.count(interval.mean if interval else None),
                span(interval),
                formats.share(cell.achieved),
                formats.count(cell.requests),
                f"{len(cell.valid)} of {len(cell.attempts)}",
            ]
        )
    heads = ["partitions × consumers", "offered load, events/s", "stored, events/s", "95% t interval", "achieved"]
    return table([*heads, "requests in the window", "valid attempts"], rows)


def span(interval: statistics.Interval | None) -> str:
    """An interval as ``34,100 to 38,900``."""
    if interval is None or interval.low is None:
        return formats.NOTHING
    return f"{formats.rounded(interval.low)} to {formats.rounded(interval.high)}"


def percentiles(cells: Sequence[Cell], measure: str) -> Table:
    """Pooled percentiles of one measure in ms, where gated in, with the requests that they rest on."""
    rows = []
    for cell in cells:
        distribution = cell.pooled.get(measure)
        values = [formats.milliseconds(cell.percentile(measure, q)) for q in statistics.PERCENTILES.values()]
        requests = [formats.count(cell.requests), formats.count(distribution.total if distribution else None)]
        rows.append([cell.label, *values, *requests])
    return table(
        ["partitions × consumers", *(f"{n}, ms" for n in PERCENTILE_NAMES.values()), "requests", "values"], rows
    )


def durations(cells: Sequence[Cell]) -> Table:
    """Pooled percentiles of delivery latency and response time side by side, in ms."""
    rows = [
        [
            cell.label,
            *(
                formats.milliseconds(cell.percentile(measure, q))
                for measure in ("delivery_latency", "response_time")
                for q in statistics.PERCENTILES.values()
            ),
            formats.count(cell.requests),
        ]
        for cell in cells
    ]
    first, *others = PERCENTILE_NAMES.values()
    heads = [f"delivery latency, ms: {first}", *others, f"response time, ms: {first}", *others]
    return table(["partitions × consumers", *heads, "requests"], rows)


def cpu(cells: Sequence[Cell], cores_there: float) -> Table:
    """Cores used by role in the window, against those there, and what bounds the cell."""
    roles = list(dict.fromkeys(role for cell in cells for role in cell.cores))
    rows = []
    for cell in cells:
        used = formats.cores(sum(cell.cores.values()) if cell.cores else None)
        bound = cell.bottleneck
        said = formats.NOTHING if bound is None else (bound.name or "no CPU limit") + f": {bound.evidence}"
        rows.append([cell.label_with_kind, said, *(formats.cores(cell.cores.get(role)) for role in roles), used])
    there = f" of {formats.value(cores_there)}" if cores_there else ""
    return table(["cell", "bound by", *(ROLE_NAMES.get(r, r) for r in roles), f"all{there}"], rows, text=2)


def cpu_per_100k(cells: Sequence[Cell]) -> Table:
    """CPU-seconds for 100,000 stored events, by role; and the most memory that each role held."""
    roles = list(dict.fromkeys(role for cell in cells for role in cell.cores))
    rows = []
    for cell in cells:
        cost = cell.cpu_s_per_100k_events()
        rows.append(
            [
                cell.label_with_kind,
                *(formats.rounded(cost.get(role)) for role in roles),
                formats.rounded(sum(cost.values()) if cost else None),
                *(formats.size(cell.memory_max_bytes.get(role)) for role in roles),
            ]
        )
    names = [ROLE_NAMES.get(role, role) for role in roles]
    return table(["cell", *(f"{n}, CPU-s" for n in names), "all, CPU-s", *(f"{n}, memory" for n in names)], rows)


def repeats_of(cell: Cell) -> Table:
    """One row an attempt of one cell."""
    rows, marked = [], []
    for index, repeat in enumerate(cell.attempts):
        result = repeat.result
        if result.findings or not result.valid:
            marked.append(index)
        length = result.window.end_s - result.window.start_s if result.window else None
        response, delivery = result.response_time_ms, result.delivery_latency_ms
        rows.append(
            [
                round_of(result),
                "valid" if result.valid else "void",
                formats.count(result.throughput_events_per_s),
                formats.rounded(length),
                *([formats.count(result.offered_load_events_per_s), formats.share(result.achieved)] * _steady(cell)),
                *([formats.milliseconds(delivery.p99 if delivery else None)] * _steady(cell)),
                *([formats.milliseconds(response.p99 if response else None)] * _steady(cell)),
                *([formats.milliseconds(result.schedule_delay_p99_ms)] * _steady(cell)),
                formats.drift(result.clock_drift_max_ms_per_s),
                formats.share(result.disturbance.total if result.disturbance else None),
                formats.count(sum(result.negative_durations.values())),
                formats.count(result.audit.lost if result.audit else None),
                formats.rounded(sum(result.duration_s.values()) if result.duration_s else None),
            ]
        )
    heads = ["round", "validity", "stored, events/s", "window, s"]
    if _steady(cell):
        heads += ["offered load, events/s", "achieved", "delivery latency p99, ms", "response time p99, ms"]
        heads += ["schedule delay p99, ms"]
    heads += ["clock drift, ms/s", "CPU used by others", "negative durations", "lost", "whole repeat, s"]
    return table(heads, rows, text=2, marked=marked)


def _steady(cell: Cell) -> bool:
    return cell.plan.kind != "drain"


def consumers_of(cell: Cell) -> Table:
    """What each consumer was assigned and read, in each attempt; one without a partition is idle."""
    rows = []
    everyone = [(repeat.result, consumer) for repeat in cell.attempts for consumer in repeat.result.consumers]
    for result, consumer in everyone:
        topics = {topic for other in result.consumers for topic in other.partitions}
        # The prefix of names, not of paths: what is cut ends at a separator.
        prefix = os.path.commonprefix(sorted(topics)) if len(topics) > 1 else ""  # noqa: RUF071
        shared = len(re.sub(r"[^._-]*$", "", prefix))
        each = (f"{topic[shared:]} {', '.join(map(str, ps))}" for topic, ps in consumer.partitions.items())
        assigned = "; ".join(each)
        state = "idle" if consumer.idle else "working"
        partitions, records = str(consumer.partition_count), formats.count(consumer.records)
        rows.append([round_of(result), consumer.name, state, assigned or "none", partitions, records])
    heads = ["round", "consumer", "state", "assigned partitions", "partitions", "records"]
    return table(heads, rows, text=4)


def round_of(result: Result) -> str:
    """The round, with the attempt where it is not the first: ``2, attempt 3``."""
    return f"{result.round}" + (f", attempt {result.attempt}" if result.attempt > 1 else "")


def stages_of(cell: Cell) -> Table:
    """The four stages over all valid repeats: mean of all events, and the means of the cohorts."""
    rows = [["all events", *_stage_cells(cell.stages_ms)]] if cell.stages_ms else []
    rows += [[f"around {cohort.name}", *_stage_cells(cohort.stages_ms)] for cohort in cell.cohorts]
    return table(["mean of, ms", *STAGE_NAMES.values(), "delivery latency"], rows)


def _stage_cells(means: dict[str, float]) -> list[str]:
    parts = [formats.milliseconds(means.get(stage)) for stage in STAGE_NAMES]
    return [*parts, formats.milliseconds(sum(means.values()))]


def pairs(items: Iterable[tuple[str, str]]) -> Table:
    """Two columns of words."""
    return table(["", ""], [list(pair) for pair in items], text=2)

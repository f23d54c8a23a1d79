"""What stands in the details of one cell: its attempts, its stages, its consumers."""

from __future__ import annotations

import os
import re

from bundle.result import Percentiles
from reports import formats
from reports.cells.bottleneck import STAGE_NAMES
from reports.cells.cells import Cell
from reports.tables import Table, round_of, table


def repeats_of(cell: Cell) -> Table:
    """One row an attempt of one cell."""
    rows, marked = [], []
    for index, repeat in enumerate(cell.attempts):
        result = repeat.result
        if result.findings or not result.valid:
            marked.append(index)
        phases_s = {name: took_s for name, took_s in result.duration_s.items() if name != "overhead"}  # part of them
        length = result.window.end_s - result.window.start_s if result.window else None
        rows.append(
            [
                round_of(result),
                "valid" if result.valid else "void",
                formats.count(result.throughput_events_per_s),
                formats.rounded(length),
                *([formats.count(result.offered_load_events_per_s), formats.share(result.achieved)] * _steady(cell)),
                *(_p95_p99(result.delivery_latency_ms) * _steady(cell)),
                *(_p95_p99(result.response_time_ms) * _steady(cell)),
                *([formats.milliseconds(result.schedule_delay_p99_ms)] * _steady(cell)),
                formats.drift(result.clock_drift_max_ms_per_s),
                formats.share(result.disturbance.total if result.disturbance else None),
                formats.count(sum(result.negative_durations.values())),
                formats.count(result.audit.lost),
                formats.rounded(sum(phases_s.values()) if phases_s else None),
                formats.rounded(result.duration_s.get("overhead")),
            ]
        )
    heads = ["probe" if cell.capacity else "round", "validity", "stored, events/s", "window, s"]
    if _steady(cell):
        heads += ["offered load, events/s", "achieved", "delivery latency p95, ms", "p99, ms"]
        heads += ["response time p95, ms", "p99, ms", "schedule delay p99, ms"]
    heads += ["clock drift, ms/s", "CPU used by others", "negative durations", "lost"]
    heads += ["whole repeat, s", "its overhead, s"]
    return table(heads, rows, text=2, marked=marked, caption="Attempts")


def _p95_p99(of: Percentiles | None) -> list[str]:
    return [formats.milliseconds(of.p95 if of else None), formats.milliseconds(of.p99 if of else None)]


def _steady(cell: Cell) -> bool:
    return cell.kind.whole_path


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


def stages_of(cell: Cell) -> Table:
    """The four stages over all valid repeats: mean of all events, and the means of the cohorts."""
    rows = [["all events", *_stage_cells(cell.stages_ms)]] if cell.stages_ms else []
    rows += [[f"around {cohort.name}", *_stage_cells(cohort.stages_ms)] for cohort in cell.cohorts]
    return table(["mean of, ms", *STAGE_NAMES.values(), "delivery latency"], rows)


def _stage_cells(means: dict[str, float]) -> list[str]:
    parts = [formats.milliseconds(means.get(stage)) for stage in STAGE_NAMES]
    return [*parts, formats.milliseconds(sum(means.values()))]

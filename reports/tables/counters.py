"""What servers and event loops reported, one column a repeat: it explains a verdict, or rules it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bundle.reading import Repeat
from bundle.result import Result
from reports import formats
from reports.cells.bottleneck import ROLE_NAMES
from reports.tables import Table, round_of, table

_PER_MIB = 2**20
Form = Callable[[float | None], str]


def _mib(value: float | None) -> str:
    return formats.NOTHING if value is None else formats.rounded(value / _PER_MIB)


_KAFKA: tuple[tuple[str, str, Form], ...] = (
    ("bytes_in_per_s", "Kafka: in, MiB/s", _mib),
    ("bytes_out_per_s", "Kafka: out, MiB/s", _mib),
    ("messages_in_per_s", "Kafka: messages in, 1/s", formats.rounded),
    ("request_queue_max", "Kafka: request queue, most", formats.count),
    ("handlers_busy_share", "Kafka: request handlers busy", formats.share),
)
_MONGO: tuple[tuple[str, str, Form], ...] = (
    ("inserts_per_s", "MongoDB: inserts, 1/s", formats.rounded),
    ("write_tickets_used_mean", "MongoDB: write tickets used, mean", formats.rounded),
    ("write_tickets_used_max", "MongoDB: write tickets used, most", formats.count),
    ("write_tickets", "MongoDB: write tickets there are", formats.count),
    ("queued_writers_max", "MongoDB: writers queued, most", formats.count),
    ("cache_used_share_max", "MongoDB: cache used, most", formats.share),
    ("cache_dirty_share_max", "MongoDB: cache dirty, most", formats.share),
    ("journal_bytes_per_s", "MongoDB: journal, MiB/s", _mib),
    ("journal_sync_share", "MongoDB: time in journal syncs", formats.share),
    ("network_in_bytes_per_s", "MongoDB: network in, MiB/s", _mib),
)
_PER_ROLE: tuple[tuple[str, str, Form], ...] = (
    ("cpu_user_cores_per_role", "CPU, user, cores", formats.cores),
    ("cpu_system_cores_per_role", "CPU, system, cores", formats.cores),
    ("busiest_process_cores_per_role", "busiest process, cores", formats.cores),
    ("context_switches_per_s_per_role", "context switches, 1/s", formats.rounded),
    ("write_bytes_per_s_per_role", "written, MiB/s", _mib),
)


def counters(repeats: Sequence[Repeat]) -> Table:
    """One row a counter that any of the repeats reports, one column a repeat."""
    results = [repeat.result for repeat in repeats]
    rows = []
    for role in _roles(results, "event_loop_lag_ms"):
        lags = [result.event_loop_lag_ms.get(role) for result in results]
        name = f"{ROLE_NAMES.get(role, role)}: event loop woke late"
        rows.append([f"{name}, median of the seconds' worst, ms", *_values(lags, "median_ms", formats.milliseconds)])
        rows.append([f"{name}, most, ms", *_values(lags, "max_ms", formats.milliseconds)])
    for fields, use in ((_KAFKA, "kafka_use"), (_MONGO, "mongodb_use")):
        uses = [getattr(result, use) for result in results]
        rows += [[words, *_values(uses, field, form)] for field, words, form in fields if _any(uses, field)]
    if any(result.loopback_bytes_per_s is not None for result in results):
        rows.append(["loopback, MiB/s", *_values(results, "loopback_bytes_per_s", _mib)])
    return table(["in the window", *(f"round {round_of(result)}" for result in results)], rows)


def processes(repeats: Sequence[Repeat]) -> Table:
    """One row a role, means over the repeats: CPU as user and system, busiest process, context switches, writes."""
    results = [repeat.result for repeat in repeats]
    there = [(field, words, form) for field, words, form in _PER_ROLE if _roles(results, field)]
    roles = list(dict.fromkeys(role for field, _, _ in there for role in _roles(results, field)))
    rows = [
        [
            ROLE_NAMES.get(role, role),
            *(form(_mean([getattr(r, field).get(role) for r in results])) for field, _, form in there),
        ]
        for role in roles
    ]
    return table(["role", *(words for _, words, _ in there)], rows)


def _roles(results: Sequence[Result], field: str) -> list[str]:
    return list(dict.fromkeys(role for result in results for role in getattr(result, field)))


def _any(uses: Sequence[Any], field: str) -> bool:
    return any(use is not None and getattr(use, field) is not None for use in uses)


def _values(uses: Sequence[Any], field: str, form: Form) -> list[str]:
    return [form(getattr(use, field) if use is not None else None) for use in uses]


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None

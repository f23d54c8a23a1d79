"""The answer of each configuration, one row each."""

from __future__ import annotations

from collections.abc import Sequence

from reports import formats
from reports.answer.answer import AnswerRow
from reports.tables import Table, span, table

_HEADS = (
    "cell",
    "load held, events/s",
    "interval of its limit",
    "drained, events/s",
    "95% t interval",
    "delivery latency p50, ms",
    "p95, ms",
    "p99, ms",
    "what breaks first",
    "events lost",
)
_LOAD, _INTERVAL = 1, 2


def build(rows: Sequence[AnswerRow]) -> Table:
    """The rows as a table, without columns that are empty in every row."""
    values = [
        [
            row.label,
            formats.rounded(row.load),
            row.interval,
            formats.rounded(row.drained.mean if row.drained else None),
            span(row.drained),
            formats.milliseconds(row.p50_ms),
            formats.milliseconds(row.p95_ms),
            formats.milliseconds(row.p99_ms),
            row.breaks,
            formats.count(row.lost),
        ]
        for row in rows
    ]
    columns = [at for at in range(len(_HEADS)) if any(each[at] != formats.NOTHING for each in values)]
    columns = sorted({*columns, _LOAD}) if _INTERVAL in columns else columns  # "no load was held" is an answer too
    marked = [index for index, row in enumerate(rows) if row.lost]
    shown = [[each[at] for at in columns] for each in values]
    return table([_HEADS[at] for at in columns], shown, words=("what breaks first",), marked=marked)

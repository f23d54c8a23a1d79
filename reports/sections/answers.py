"""The answer of each configuration in one row: the same that a run ends with on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from reports.answer import Row
from reports.sections.parts import Part
from reports.tables import answers as tables

_WHAT = (
    "3 × 2 reads: 3 partitions for each event topic, 2 consumers. Load held: the highest load that a search found "
    "sustained, or the load offered where that was held. The 95% interval is for the limit, the load that half of all "
    "probes hold. Percentiles are of the probes at the load held, pooled."
)


def part(rows: Sequence[Row]) -> Part:
    """One table, and what its columns mean; nothing without a row."""
    return Part(table=tables.of(rows), words=(_WHAT,)) if rows else Part()

"""The answer of each configuration in one row: the same that a run ends with on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from reports.answer import Row
from reports.sections.parts import Part, Section
from reports.tables import answers as tables

_WHAT = (
    "Load held: the highest load that a search found sustained, or the load offered where that was held. The interval "
    "is for the limit, the load that half of all probes hold. Percentiles are of the probes at the load held, pooled."
)


def section(rows: Sequence[Row]) -> Section:
    """One table, and what its columns mean."""
    return Section("answer", "The answer, cell by cell", "Answer", (Part(words=(_WHAT,), table=tables.of(rows)),))

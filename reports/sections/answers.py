"""The answer of each configuration in one row, the same as at the end of a run on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from reports.answer.answer import AnswerRow
from reports.sections.section import SectionPart
from reports.tables import answers as tables

_WHAT = (
    "3 × 2 means 3 partitions for each event topic and 2 consumers. Load held: the highest load that a search found "
    "sustained, or the offered load if that was held. The 95% interval is for the limit, the load that half of all "
    "probes hold. Percentiles are of all probes at the load held, pooled."
)


def part(rows: Sequence[AnswerRow]) -> SectionPart:
    """One table, and what its columns mean; nothing without a row."""
    return SectionPart(table=tables.build(rows), words=(_WHAT,)) if rows else SectionPart()

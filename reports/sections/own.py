"""Sections that only one kind of cell has: its own words and numbers, as reports/kinds says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reports import kinds
from reports.cells.cells import Cell
from reports.kinds.kind import LabelledResults
from reports.sections.section import Section, SectionPart
from reports.tables import table


def sections(by_kind: Mapping[str, Sequence[Cell]]) -> Iterator[Section]:
    """Yield the section of each kind that has one."""
    for name, cells in by_kind.items():
        named = [LabelledResults(cell.label, [repeat.result for repeat in cell.valid]) for cell in cells]
        own = kinds.named(name).own_section(named)
        if own is not None:
            shown = table(own.heads, own.rows)
            yield Section(f"of-{name}", own.title, own.title, (SectionPart(words=own.words, table=shown),))

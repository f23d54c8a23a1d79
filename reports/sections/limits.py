"""Why it is not faster: what bounds each cell, with the evidence."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.reading import Bundle
from reports import formats
from reports.cells import axes, saturation
from reports.cells.bottleneck import Bottleneck
from reports.cells.cells import Cell
from reports.figures import bars
from reports.sections.section import Section, SectionPart
from reports.tables import Table, headroom, measured, table

_HOW_BOUND = (
    f"The dashed line marks the cores that are there. From {saturation.MACHINE_BUSY:.0%} of them the machine's CPU is "
    "the limit, and the role that uses most of it is named; a process is the limit from "
    f"{saturation.PROCESS_BUSY:.0%} of one core, which is all that a Python process can use."
)
_HEADROOM = (
    "Headroom is the share unused of the limit that a role was nearest to. Kafka and MongoDB compute in many threads: "
    "their CPU limit is what no other role uses."
)
_FEW = 8


def section(bundle: Bundle, by_kind: dict[str, list[Cell]]) -> Section:
    """What bounds each cell, by which evidence and with what headroom; cores by role against those there."""
    there = bundle.manifest.hardware.cores
    cells = [cell for group in by_kind.values() for cell in group if cell.cores]
    if not cells:
        return Section("cpu", "CPU by role", "CPU", (SectionPart(words=("No CPU was recorded in a valid repeat.",)),))
    figures = tuple(figure for kind, group in by_kind.items() for figure in bars.cpu(group, kind, there))
    parts = (
        *_bounds(cells),
        SectionPart(table=headroom.evidence(cells), summary="The evidence: each number against its limit"),
        SectionPart(table=headroom.headroom(cells), summary="Headroom of each role"),
        SectionPart("Cores by role", words=(_HOW_BOUND,), figures=figures),
        SectionPart(table=measured.cpu_per_100k(cells), summary="CPU for 100,000 stored events, and memory"),
    )
    return Section("cpu", "CPU by role, and the bottleneck", "Bottleneck, CPU", parts)


def _bounds(cells: Sequence[Cell]) -> list[SectionPart]:
    """Say what bounds each cell; where there are many, cells that are bound alike together first."""
    each = _cell_by_cell(cells)
    if len(cells) <= _FEW:
        return [SectionPart("What bounds each cell", (_HEADROOM,), table=each)]
    together = SectionPart("What bounds the cells", (_HEADROOM,), table=_together(cells))
    return [together, SectionPart(table=each, summary=f"What bounds each of the {len(cells)} cells")]


def _cell_by_cell(cells: Sequence[Cell]) -> Table:
    rows = [[cell.label_with_kind, *_bound(cell)] for cell in cells]
    return table(["cell", "bound by", "evidence", _LEAST, "what to turn next"], rows, text=5)


_LEAST = "least headroom of the others"


def _together(cells: Sequence[Cell]) -> Table:
    """One row for all cells of a kind with the same verdict, with the evidence of the first of them."""
    alike: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        name, _, _, following = _bound(cell)
        alike.setdefault((cell.plan.kind, name, following), []).append(cell)
    rows = []
    for (kind, name, following), group in alike.items():
        _, because, others, _ = _bound(group[0])
        labels = f"{kind} {'; '.join(cell.label for cell in group)}"
        of_one = f"{group[0].label}: {because}" if len(group) > 1 else because
        rows.append([name, labels, of_one, others, following])
    return table(["bound by", "cells", "evidence, of the first", _LEAST, "what to turn next"], rows, text=5)


def _bound(cell: Cell) -> tuple[str, str, str, str]:
    """What bounds a cell, the evidence, the others' headroom, what to turn next."""
    bound = cell.bottleneck
    if bound is None:
        return (formats.NOTHING,) * 4
    return bound.name or "not determined", bound.because, headroom.least(bound), _turn_next(bound)


def _turn_next(bound: Bottleneck) -> str:
    if not bound.next_why:
        return formats.NOTHING
    return f"{axes.title(bound.next_axis)}: {bound.next_why}" if bound.next_axis else bound.next_why

"""Why it is not faster: what bounds each cell, with the evidence."""

from __future__ import annotations

from collections.abc import Sequence

from reports import bottleneck, formats
from reports.bundle import Bundle
from reports.cells import Cell
from reports.figures import bars
from reports.sections.parts import Part, Section
from reports.tables import Table, measured, table

_HOW_BOUND = (
    f"The dashed line marks the cores that are there. From {bottleneck.MACHINE_BUSY:.0%} of them the machine's CPU is "
    "the limit, and the role that uses most of it is named; a process is the limit from "
    f"{bottleneck.PROCESS_BUSY:.0%} of one core, which is all that a Python process can use."
)


def section(bundle: Bundle, by_kind: dict[str, list[Cell]]) -> Section:
    """Cores by role against those there, and what bounds each cell, with the evidence."""
    there = bundle.manifest.hardware.cores
    cells = [cell for group in by_kind.values() for cell in group if cell.cores]
    if not cells:
        return Section("cpu", "CPU by role", "CPU", (Part(words=("No CPU was recorded in a valid repeat.",)),))
    figures = tuple(figure for kind, group in by_kind.items() for figure in bars.cpu(group, kind, there))
    parts = (
        Part(words=(_HOW_BOUND,), figures=figures),
        Part("What bounds each cell", table=_bottlenecks(cells)),
        Part(table=measured.cpu_per_100k(cells), summary="CPU for 100,000 stored events, and memory"),
    )
    return Section("cpu", "CPU by role, and the bottleneck", "CPU", parts)


def _bottlenecks(cells: Sequence[Cell]) -> Table:
    rows = []
    for cell in cells:
        bound = cell.bottleneck
        name = (bound.name or "no CPU limit") if bound else formats.NOTHING
        rows.append([cell.label_with_kind, name, bound.evidence if bound else formats.NOTHING])
    return table(["cell", "bottleneck", "evidence"], rows, text=3)

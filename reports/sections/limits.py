"""Why it is not faster: what bounds each cell, with the evidence."""

from __future__ import annotations

from collections.abc import Sequence

from reports import axes, formats, saturation
from reports.bottleneck import Bottleneck
from reports.bundle import Bundle
from reports.cells import Cell
from reports.figures import bars
from reports.sections.parts import Part, Section
from reports.tables import Table, measured, table

_HOW_BOUND = (
    f"The dashed line marks the cores that are there. From {saturation.MACHINE_BUSY:.0%} of them the machine's CPU is "
    "the limit, and the role that uses most of it is named; a process is the limit from "
    f"{saturation.PROCESS_BUSY:.0%} of one core, which is all that a Python process can use."
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
        name = (bound.name or "not determined") if bound else formats.NOTHING
        rows.append([cell.label_with_kind, name, bound.because if bound else formats.NOTHING, _turn_next(bound)])
    return table(["cell", "bound by", "evidence", "what to turn next"], rows, text=4)


def _turn_next(bound: Bottleneck | None) -> str:
    if bound is None or not bound.next_why:
        return formats.NOTHING
    return f"{axes.title(bound.next_axis)}: {bound.next_why}" if bound.next_axis else bound.next_why

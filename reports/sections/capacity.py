"""Sustainable throughput: the answers with their intervals, the curves they rest on, and every probe."""

from __future__ import annotations

from collections.abc import Sequence

from reports.answer import breaking
from reports.cells.cells import Cell
from reports.figures import answers
from reports.figures import capacity as figures
from reports.sections.section import Section, SectionPart
from reports.tables import capacity as tables

_WHAT = (
    "The highest offered load that a cell sustains. Sustained: accepted minus stored is, by its upper one-sided 95% "
    "bound, at most 2% of what is offered; the objective is met; no findings; valid. The load is searched by probes, "
    "each from clean state: a climb, a bisection, repeats at the answer, which confirm or lower it, and further ones "
    "near it, which narrow the interval. The answer held in every probe of it. The interval is for the limit, the load "
    "that half of all probes hold: it may lie above the answer."
)
_HOW_DRAWN = (
    "Each mark is one probe; one on the upper edge had too few requests for its p99. Lines go through the middle probe "
    "of each load. The upright line is the sustainable throughput, the band the interval for the load at which the "
    "objective stops being held, the dotted line the knee."
)


def section(cells: Sequence[Cell], cores_there: float) -> Section:
    """Answers and what breaks above them, delivery latency against load, and each cell's probes, folded.

    ``cores_there``: of the machine, 0 where that is not known.
    """
    parts = [
        SectionPart(words=(_WHAT,), figures=tuple(answers.panels(cells))),
        SectionPart(table=tables.searched(cells)),
    ]
    broken = [(cell, broke) for cell in cells if (broke := breaking.find(cell, cores_there))]
    if broken:
        parts.append(SectionPart("What breaks first above it", table=tables.broken(broken)))
    drawn = tuple(figures.curves(cells))
    if drawn:
        parts.append(SectionPart("Delivery latency against offered load", words=(_HOW_DRAWN,), figures=drawn))
    parts += [
        SectionPart(table=tables.probes(c), summary=f"The probes of {c.label}, one by one") for c in cells if c.attempts
    ]
    return Section("capacity", "Sustainable throughput", "Capacity", tuple(parts))

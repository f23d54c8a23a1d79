"""Throughput of partitions × consumers: heat maps and scaling curves of drains, what was stored of an offered load."""

from __future__ import annotations

from collections.abc import Sequence

from reports import kinds
from reports.answer.verdict import RunVerdict
from reports.cells.cells import Cell
from reports.drawing.panel import Panel
from reports.figures import throughput as figures
from reports.formats import plural
from reports.sections.section import Section, SectionPart
from reports.tables import measured
from stats import intervals

_CUT = (
    "Intervals that run out of the top of the curves are wider than the figure: the repeats lie far apart. "
    "The heat map has their bounds."
)
_NAMED = 4
_THAT = {False: "that", True: "those"}


def section(by_kind: dict[str, list[Cell]], judged: RunVerdict) -> Section:
    """Heat maps and scaling curves of drains; what steady cells stored of their offered load."""
    parts = []
    emptied = any(not kinds.named(name).whole_path for name in by_kind)
    for name, cells in by_kind.items():
        kind = kinds.named(name)
        words = [kind.question]
        drawn: tuple[Panel, ...] = ()
        if not kind.whole_path or not emptied:
            how = "each small point is one repeat, hollow marks have idle consumers"
            scale = "Colours run from half of the highest value (or the lowest, if lower) to the highest."
            words.append(f"Numbers and large marks: {intervals.LABEL}; {how}. {scale}")
            words.append(_CUT if figures.cuts_an_interval(cells) else "")
            words.append("It is bounded by the offered load." if kind.whole_path else _rivalry(judged, cells))
            drawn = tuple(figures.panels(cells, name))
        table = measured.steady(cells) if kind.whole_path else None
        parts.append(SectionPart(kind.title, tuple(words), drawn, table))
    parts = parts or [SectionPart(words=("No drain and no steady cell in this run.",))]
    return Section("throughput", "Throughput of partitions × consumers", "Throughput", tuple(parts))


def _rivalry(judged: RunVerdict, drains: Sequence[Cell]) -> str:
    """Name the cells that this run cannot distinguish from the best, and those without an interval."""
    best = judged.best
    if best is None or best.throughput is None:
        return "No drain has a valid repeat."
    others = [cell for cell in drains if cell is not best]
    single = [cell for cell in others if cell.throughput and cell.throughput.low is None]
    without = [cell for cell in others if cell.throughput is None]
    if not others:
        return ""
    if best.throughput.low is None:
        said = f"{best.label} is the highest, but one repeat gives no interval: the order is not settled."
        return said + _without(without)
    if len(single) + len(without) == len(others):
        return f"There is no other cell to compare {best.label} with.{_single(single)}{_without(without)}"
    rivals = [cell for cell in judged.rivals if cell not in single]
    if not rivals:
        every = "every other cell" if not single and not without else "every other cell that has one"
        return f"The interval of {best.label} does not overlap that of {every}.{_single(single)}{_without(without)}"
    return (
        f"{best.label} is the highest, but its interval overlaps {_THAT[len(rivals) > 1]} of {_named(rivals)} "
        f"(partitions × consumers): the order among them is not settled.{_single(single)}{_without(without)}"
    )


def _named(cells: Sequence[Cell]) -> str:
    names = "; ".join(cell.label for cell in cells[:_NAMED])
    more = len(cells) - _NAMED
    return names + (f" and {plural(more, 'other cell')}" if more > 0 else "")


def _single(cells: Sequence[Cell]) -> str:
    return f" One repeat, so no interval: {_named(cells)}." if cells else ""


def _without(cells: Sequence[Cell]) -> str:
    void, empty = [cell for cell in cells if not cell.valid], [cell for cell in cells if cell.valid]
    said = f" Without a valid repeat: {_named(void)}." if void else ""
    return said + (f" Stored nothing in a window: {_named(empty)}." if empty else "")

"""What a section of the page is made of."""

from __future__ import annotations

from dataclasses import dataclass

from reports.drawing.panel import Panel
from reports.tables import Table


@dataclass(frozen=True)
class SectionPart:
    """A part of a section: any of a heading, words, figures and a table.

    Where ``summary`` is named, figures and table are behind it. ``small``: the figures stand in more columns.
    """

    heading: str = ""
    words: tuple[str, ...] = ()
    figures: tuple[Panel, ...] = ()
    table: Table | None = None
    summary: str = ""
    small: bool = False


@dataclass(frozen=True)
class Section:
    """One section of the page; ``name`` is its id, ``short`` its title in the list of sections."""

    name: str
    title: str
    short: str
    parts: tuple[SectionPart, ...]


@dataclass(frozen=True)
class CellDetails:
    """One cell, to be opened."""

    name: str
    title: str
    remark: str
    alarm: str
    parts: tuple[SectionPart, ...]

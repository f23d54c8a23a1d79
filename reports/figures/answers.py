"""The sustainable throughput of each capacity cell with its interval, one under the other."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bundle.capacity import CapacityAnswer
from reports import formats
from reports.answer import searches
from reports.cells.cells import Cell
from reports.drawing import palette, panel
from reports.drawing.panel import Canvas, Panel
from reports.tables import Table, table

_ROW_HEIGHT, _ABOVE, _BELOW, _RIGHT = 28, 10, 44, 60
_LETTER_WIDTH, _NARROWEST, _WIDEST = 6.3, 44, 190
_COLOUR = palette.SERIES[2].light

Answer = tuple[Cell, CapacityAnswer]


def panels(cells: Sequence[Cell]) -> list[Panel]:
    """Draw the cells with an answer, where there are two or more: one is a number and no figure."""
    having = [(cell, cell.capacity) for cell in cells if cell.capacity and cell.capacity.sustainable_events_per_s]
    if len(having) < 2:  # noqa: PLR2004
        return []
    left = min(max(_NARROWEST, max(len(cell.label) for cell, _ in having) * _LETTER_WIDTH + 8), _WIDEST)
    height = _ABOVE + _ROW_HEIGHT * len(having) + _BELOW
    with panel.canvas(height=height, margins=(left, _RIGHT, _ABOVE, _BELOW)) as drawn:
        tops = [found.high_events_per_s or found.sustainable_events_per_s or 0.0 for _, found in having]
        panel.from_zero(drawn.axes, max(tops), panel.thousands, axis="x")
        for place, (_, found) in enumerate(having):
            _row(drawn, place, found)
        numbers = [formats.rounded(found.sustainable_events_per_s) for _, found in having]
        panel.rows(drawn, [cell.label for cell, _ in having], numbers)
        panel.label(drawn, "events/s")
        return [drawn.finish("capacity-answers", "Sustainable throughput of each cell", _frame(having), _table(having))]


def _row(drawn: Canvas, place: int, found: CapacityAnswer) -> None:
    """Draw the interval as a bar, the answer as a mark (hollow where it is not confirmed)."""
    axes, middle = drawn.axes, found.sustainable_events_per_s or 0.0
    left, right = axes.get_xlim()
    low = left if found.low_events_per_s is None else found.low_events_per_s
    high = right if found.high_events_per_s is None else found.high_events_per_s
    axes.plot([low, high], [place, place], color=_COLOUR, linewidth=5, alpha=0.35, solid_capstyle="butt")
    face = _COLOUR if found.confirmed else palette.PAPER.light
    axes.plot([middle], [place], "o", color=_COLOUR, mfc=face, mew=1.4, markersize=7)


def _frame(having: Sequence[Answer]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "cell": cell.plan.id,
                "sustainable_events_per_s": found.sustainable_events_per_s,
                "low_events_per_s": found.low_events_per_s,
                "high_events_per_s": found.high_events_per_s,
                "confidence": found.confidence,
                "confirmed": found.confirmed,
            }
            for cell, found in having
        ]
    )


def _table(having: Sequence[Answer]) -> Table:
    rows = [[c.label, formats.rounded(f.sustainable_events_per_s), searches.interval(f)] for c, f in having]
    return table(["partitions × consumers", "sustainable, events/s", "interval"], rows)

"""Waterfalls: the four stages of delivery latency, each bar from where the one before ends, the last their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports import formats
from reports.cells.bottleneck import STAGE_NAMES
from reports.cells.cells import Cell
from reports.drawing import palette, panel
from reports.drawing.panel import Canvas, Panel
from reports.tables import Table, table

MOST_CELLS = 6
"""Cells of one figure."""
COHORT = "p99"
_SUM = "delivery latency"
_STEP, _HEAD, _GAP = 16, 18, 10
_ABOVE, _BELOW, _LEFT, _RIGHT = 8, 40, 118, 52
_BAR = 0.74
_STEPS = len(STAGE_NAMES) + 1


@dataclass(frozen=True)
class _Steps:
    """One cell's waterfall: where each bar starts and ends (ms), the sum last."""

    cell: Cell
    starts: tuple[float, ...]
    ends: tuple[float, ...]

    @property
    def lengths(self) -> tuple[float, ...]:
        """What each bar stands for, negative where it runs to the left."""
        return tuple(end - start for start, end in zip(self.starts, self.ends, strict=True))


def panels(cells: Sequence[Cell]) -> list[Panel]:
    """Draw the means of all events, and beside them those of the events around p99, six cells (of one kind) a figure.

    All cells of a figure share one scale.
    """
    having = [cell for cell in cells if cell.stages_ms]
    found = []
    for number, first in enumerate(range(0, len(having), MOST_CELLS)):
        group = having[first : first + MOST_CELLS]
        suffix = f"-{group[0].plan.kind}" + (f"-{number + 1}" if number else "")
        means = [_steps(cell, cell.stages_ms) for cell in group]
        found.append(_panel(f"waterfall-mean{suffix}", "Mean of all events", means))
        around = [(cell, cohort) for cell in group for cohort in cell.cohorts if cohort.name == COHORT]
        if around:
            slow = [_steps(cell, cohort.stages_ms) for cell, cohort in around]
            title = f"Mean of the events around each repeat's {COHORT} of delivery latency"
            found.append(_panel(f"waterfall-{COHORT}{suffix}", title, slow))
    return found


def _steps(cell: Cell, stages_ms: Mapping[str, float]) -> _Steps:
    ends = np.cumsum([stages_ms.get(stage, 0.0) for stage in STAGE_NAMES]).tolist()
    return _Steps(cell, (0.0, *ends[:-1], 0.0), (*ends, ends[-1]))


def _panel(name: str, title: str, rows: Sequence[_Steps]) -> Panel:
    block = _HEAD + _STEPS * _STEP + _GAP
    height = _ABOVE + block * len(rows) - _GAP + _BELOW
    with panel.canvas(height=height, margins=(_LEFT, _RIGHT, _ABOVE, _BELOW)) as drawn:
        _draw(drawn, rows, block)
        panel.label(drawn, "ms from the intended send")
        return drawn.finish(name, title, _frame(rows), _table(rows))


def _draw(drawn: Canvas, rows: Sequence[_Steps], block: int) -> None:
    """Draw all blocks in axes whose y is in pixels from the top."""
    axes = drawn.axes
    tops = np.arange(len(rows)) * block
    places = tops[:, None] + _HEAD + _STEP * (np.arange(_STEPS) + 0.5)
    starts = np.array([row.starts for row in rows])
    ends = np.array([row.ends for row in rows])
    # From the end of each bar down to the start of the next; the sum's end stands under that of the last stage.
    axes.vlines(ends[:, :-1], places[:, :-1], places[:, 1:], color=palette.MUTED.light, linewidth=0.6, zorder=0.9)
    panel.from_zero(axes, float(ends.max()), lambda value: f"{value:g}", axis="x")
    lowest = float(min(starts.min(), ends.min(), 0.0))
    if lowest < 0:
        axes.set_xlim(left=lowest * 1.1)
    axes.set_ylim(len(rows) * block - _GAP, 0)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=palette.RULE.light, linewidth=0.8)
    colours = [*(panel.series_colour(index) for index in range(_STEPS - 1)), palette.MUTED]
    for row, at in zip(rows, places, strict=True):
        for start, end, place, colour in zip(row.starts, row.ends, at, colours, strict=True):
            drawn.bar(start, end, place, _STEP * _BAR, colour)
    _write(drawn, rows, places)


def _write(drawn: Canvas, rows: Sequence[_Steps], places: NDArray[np.float64]) -> None:
    """Write the cells over their blocks, the stages left of the bars, the durations right of them."""
    names = (*STAGE_NAMES.values(), _SUM)
    for row, block in zip(rows, places, strict=True):
        _, head = drawn.to_pixels(0, block[0] - _STEP / 2 - _HEAD * 0.42)
        drawn.write(4, head, row.cell.label, bold=True)
        for name, place, start, end, length in zip(names, block, row.starts, row.ends, row.lengths, strict=True):
            colour = palette.INK if name == _SUM else palette.MUTED
            right, y = drawn.to_pixels(max(start, end), place)
            drawn.write(_LEFT - 6, y, name, colour, size=10, at_its_end=True)
            drawn.write(right + 3, y, formats.milliseconds(length), colour, size=10)


def _frame(rows: Sequence[_Steps]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"cell": row.cell.plan.id, "stage": stage, "starts_ms": start, "ends_ms": end}
            for row in rows
            for stage, start, end in zip((*STAGE_NAMES, "delivery_latency"), row.starts, row.ends, strict=True)
        ]
    )


def _table(rows: Sequence[_Steps]) -> Table:
    heads = ["partitions × consumers", *(f"{name}, ms" for name in STAGE_NAMES.values()), f"{_SUM}, ms"]
    return table(heads, [[row.cell.label, *map(formats.milliseconds, row.lengths)] for row in rows])

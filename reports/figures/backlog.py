"""Backlog over time: a small panel for each cell, a line for each valid repeat, all of a kind on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bundle.reading import Repeat
from reports import formats
from reports.cells import timeseries
from reports.cells.cells import Cell
from reports.drawing import panel, svg
from reports.drawing.panel import Frame, Panel
from reports.drawing.svg import Line, Mark
from reports.tables import Table, round_of, table

_WIDTH, _HEIGHT = 340, 200
_MOST_ROWS = 240

Series = tuple[Repeat, pd.DataFrame]


def panels(cells: Sequence[Cell]) -> list[Panel]:
    """Draw the cells (of one kind) that have a time series."""
    found = [(cell, _series(cell)) for cell in cells]
    drawable = [(cell, series) for cell, series in found if series]
    if not drawable:
        return []
    frames = [frame for _, series in drawable for _, frame in series]
    frame = _frame(
        highest=max(float(each["backlog"].max()) for each in frames),
        last=max(float(each["second"].max()) for each in frames),
    )
    return [_panel(cell, series, frame) for cell, series in drawable]


def _frame(highest: float, last: float) -> Frame:
    """Draw the axes that all panels have."""
    with panel.canvas(width=_WIDTH, height=_HEIGHT, margins=(46, 12, 34, 40)) as drawn:
        drawn.axes.set_xlim(0, last + 1)
        panel.from_zero(drawn.axes, highest, panel.thousands)
        panel.label(drawn, "seconds since the epoch", "backlog, events")
        return Frame(svg.template(drawn.figure), drawn.axes)


def _series(cell: Cell) -> list[Series]:
    read = [(repeat, timeseries.read(repeat)) for repeat in cell.counted]
    return [(repeat, _known(frame)) for repeat, frame in read if frame is not None and len(frame)]


def _known(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the seconds in which the backlog is not known."""
    known = frame["backlog"].notna().to_numpy()
    return frame if known.all() else frame[known]


def _panel(cell: Cell, series: Sequence[Series], frame: Frame) -> Panel:
    marks: list[Mark] = []
    for index, (repeat, seconds) in enumerate(series):
        colour = panel.series_colour(index)
        # A row holds what there was at the end of its second; before the epoch nothing is drawn.
        at_s, level = seconds["second"].to_numpy(dtype=float) + 1, seconds["backlog"].to_numpy(dtype=float)
        at_s, level = at_s[at_s >= 0], level[at_s >= 0]
        marks.append(Line(frame.to_pixels(np.column_stack([at_s, level])), colour, 1.0, 0.55))
        marks.append(Line(frame.to_pixels(_window(repeat, at_s, level)), colour, 2.2))
    marks = [mark for mark in marks if not isinstance(mark, Line) or len(mark.points)]
    marks += panel.rounds([repeat for repeat, _ in series], _WIDTH, _HEIGHT)
    title = cell.label_with_kind.capitalize()
    return frame.finish(f"backlog-{cell.plan.id}", title, _data(cell, series), _table(series), marks)


def _window(repeat: Repeat, at_s: NDArray[np.float64], backlog: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the line within the window, shape (points, 2), its ends interpolated between the samples."""
    window = repeat.result.window
    if window is None or len(at_s) == 0:
        return np.empty((0, 2))
    inside = (at_s > window.start_s) & (at_s < window.end_s)
    times = np.concatenate([[window.start_s], at_s[inside], [window.end_s]])
    return np.column_stack([times, np.interp(times, at_s, backlog)])


def _data(cell: Cell, series: Sequence[Series]) -> pd.DataFrame:
    """Put all repeats under each other: column by column, for there are many small frames."""
    lengths = [len(seconds) for _, seconds in series]
    columns: dict[str, Any] = {
        "cell": cell.plan.id,
        "round": np.repeat([repeat.result.round for repeat, _ in series], lengths),
        "attempt": np.repeat([repeat.result.attempt for repeat, _ in series], lengths),
    }
    for name in timeseries.EVENT_COLUMNS:
        if all(name in seconds for _, seconds in series):
            columns[name] = np.concatenate([seconds[name].to_numpy() for _, seconds in series])
    return pd.DataFrame(columns)


def _table(series: Sequence[Series]) -> Table:
    """One row a second, one column a repeat; every n-th second where there are very many."""
    heads = [f"round {round_of(repeat.result)}" for repeat, _ in series]
    levels = [dict(zip(s["second"].tolist(), s["backlog"].tolist(), strict=True)) for _, s in series]
    seconds = sorted({second for level in levels for second in level})
    rows = [
        [formats.count(second), *(formats.count(level.get(second)) for level in levels)]
        for second in seconds[:: -(-len(seconds) // _MOST_ROWS) or 1]
    ]
    return table(["second (at its end)", *heads], rows, text=0)

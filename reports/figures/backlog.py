"""Backlog over time: a small panel for each cell, a line for each valid repeat, all of a kind on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports import bundle, formats, palette
from reports.bundle import Repeat
from reports.cells import Cell
from reports.figures import panel
from reports.figures.panel import Panel
from reports.tables import Table, table

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
    highest = max(float(frame["backlog"].max()) for frame in frames)
    last = max(float(frame["second"].max()) for frame in frames)
    return [_panel(cell, series, highest, last) for cell, series in drawable]


def _series(cell: Cell) -> list[Series]:
    read = [(repeat, bundle.timeseries(repeat)) for repeat in cell.counted]
    return [(repeat, frame.dropna(subset=["backlog"])) for repeat, frame in read if frame is not None and len(frame)]


def _panel(cell: Cell, series: Sequence[Series], highest: float, last: float) -> Panel:
    with panel.canvas(width=_WIDTH, height=_HEIGHT, margins=(46, 12, 34, 40)) as drawn:
        drawn.axes.set_xlim(0, last + 1)
        panel.from_zero(drawn.axes, highest, panel.thousands)
        for index, (repeat, frame) in enumerate(series):
            colour = panel.series_colour(index).light
            # A row holds what there was at the end of its second.
            at_s, level = frame["second"].to_numpy(dtype=float) + 1, frame["backlog"].to_numpy(dtype=float)
            drawn.axes.plot(at_s, level, color=colour, linewidth=1, alpha=0.55)
            drawn.axes.plot(*_window(repeat, at_s, level).T, color=colour, linewidth=2.2)
        panel.label(drawn, "seconds since the epoch", "backlog, events")
        _name_rounds(drawn, [repeat for repeat, _ in series])
        name = f"backlog-{cell.plan.id}"
        return drawn.finish(name, cell.label_with_kind.capitalize(), _frame(cell, series), _table(series))


def _name_rounds(drawn: panel.Canvas, repeats: Sequence[Repeat]) -> None:
    """Write the rounds into the upper right corner, each in the colour of its line."""
    height = _HEIGHT - 16
    for place, repeat in enumerate(reversed(repeats)):
        colour = panel.series_colour(len(repeats) - 1 - place).light
        x = (_WIDTH - 18 - 15 * place) / _WIDTH
        drawn.figure.text(x, height / _HEIGHT, str(repeat.result.round), color=colour, fontsize=11, fontweight="bold")
    left = (_WIDTH - 18 - 15 * len(repeats) + 10) / _WIDTH
    drawn.figure.text(left, height / _HEIGHT, "round", color=palette.MUTED.light, fontsize=11, ha="right")


def _window(repeat: Repeat, at_s: NDArray[np.float64], backlog: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the line within the window, shape (points, 2), its ends interpolated between the samples."""
    window = repeat.result.window
    if window is None or len(at_s) == 0:
        return np.empty((0, 2))
    inside = (at_s > window.start_s) & (at_s < window.end_s)
    times = np.concatenate([[window.start_s], at_s[inside], [window.end_s]])
    return np.column_stack([times, np.interp(times, at_s, backlog)])


def _frame(cell: Cell, series: Sequence[Series]) -> pd.DataFrame:
    parts = []
    for repeat, frame in series:
        part = frame[[name for name in ("second", "offered", "accepted", "stored", "backlog") if name in frame]].copy()
        part.insert(0, "attempt", repeat.result.attempt)
        part.insert(0, "round", repeat.result.round)
        part.insert(0, "cell", cell.plan.id)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _table(series: Sequence[Series]) -> Table:
    """One row a second, one column a repeat; every n-th second where there are very many."""
    columns = {f"round {r.result.round}": f.drop_duplicates("second").set_index("second")["backlog"] for r, f in series}
    wide = pd.DataFrame(columns)
    wide = wide.iloc[:: -(-len(wide) // _MOST_ROWS)]
    rows = [
        [formats.count(float(str(second))), *(formats.count(_number(v)) for v in row)]
        for second, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return table(["second (at its end)", *columns], rows, text=0)


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)

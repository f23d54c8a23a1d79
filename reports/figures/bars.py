"""Stacked bars, one a cell: the four stages of delivery latency, and CPU by role against the cores there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from bundle.result import Cohort
from reports import formats
from reports.cells.bottleneck import ROLE_NAMES, STAGE_NAMES
from reports.cells.cells import Cell
from reports.drawing import palette, panel
from reports.drawing.panel import Canvas, Panel
from reports.tables import Table, measured, table

_ROW_HEIGHT, _LEGEND_ROW, _BELOW = 26, 18, 46
_BAR = 0.62
_LETTER_WIDTH = 6.3
_NARROWEST, _WIDEST = 44, 190
_MOST_COLUMNS, _MANY = 3, 6
"""Of a legend; one more where there are many names."""
_SLOW = "p99"


def stages(cells: Sequence[Cell]) -> list[Panel]:
    """Draw the stacked means of all events of cells (of one kind), and beside them those of the cohort around p99."""
    having = [cell for cell in cells if cell.stages_ms]
    if not having:
        return []
    everything, kind = [(cell, cell.stages_ms) for cell in having], having[0].plan.kind
    found = [_stages_panel(f"stages-mean-{kind}", "Mean of all events", everything)]
    cohorts = [(cell, _cohort(cell, _SLOW)) for cell in having]
    rows = [(cell, cohort.stages_ms) for cell, cohort in cohorts if cohort]
    if rows:
        found.append(_stages_panel(f"stages-{_SLOW}-{kind}", f"Events around {_SLOW} of delivery latency", rows))
    return found


def cpu(cells: Sequence[Cell], kind: str, cores_there: float) -> list[Panel]:
    """Draw the cores that each role used in the window; a line marks the cores there."""
    having = [cell for cell in cells if cell.cores]
    if not having:
        return []
    names = {role: name for role, name in ROLE_NAMES.items() if any(role in cell.cores for cell in having)}
    rows = [(cell.label, cell.cores) for cell in having]
    title = f"Cores used in the window, {kind} cells"
    with _canvas([label for label, _ in rows], len(names)) as drawn:
        highest = max([cores_there, *(sum(used.values()) for _, used in rows)])
        _stack(drawn, rows, names, "cores", highest, formats.cores)
        if cores_there:
            drawn.axes.axvline(cores_there, color=palette.ALARM.light, linewidth=1.2, linestyle=(0, (4, 3)))
        frame = pd.DataFrame(
            [{"cell": cell.plan.id, **{f"{r}_cores": v for r, v in cell.cores.items()}} for cell in having]
        )
        return [drawn.finish(f"cpu-{kind}", title, frame, measured.cpu(having, cores_there))]


def _cohort(cell: Cell, name: str) -> Cohort | None:
    return next((cohort for cohort in cell.cohorts if cohort.name == name), None)


def _stages_panel(name: str, title: str, rows: Sequence[tuple[Cell, Mapping[str, float]]]) -> Panel:
    bars = [(cell.label, means) for cell, means in rows]
    with _canvas([label for label, _ in bars], len(STAGE_NAMES)) as drawn:
        highest = max(sum(value for value in means.values() if value > 0) for _, means in bars)
        _stack(drawn, bars, STAGE_NAMES, "ms", highest, formats.milliseconds)
        frame = pd.DataFrame(
            [{"cell": cell.plan.id, **{f"{s}_ms": v for s, v in means.items()}} for cell, means in rows]
        )
        return drawn.finish(name, title, frame, _stages_table(bars))


def _stages_table(bars: Sequence[tuple[str, Mapping[str, float]]]) -> Table:
    rows = [
        [
            label,
            *(formats.milliseconds(means.get(stage)) for stage in STAGE_NAMES),
            formats.milliseconds(sum(means.values())),
        ]
        for label, means in bars
    ]
    return table(
        ["partitions × consumers", *(f"{name}, ms" for name in STAGE_NAMES.values()), "delivery latency, ms"], rows
    )


def _canvas(labels: Sequence[str], series: int) -> AbstractContextManager[Canvas]:
    left = min(max(_NARROWEST, max(map(len, labels)) * _LETTER_WIDTH + 8), _WIDEST)
    above = _LEGEND_ROW * -(-series // _columns(series)) + 12
    height = above + _ROW_HEIGHT * len(labels) + _BELOW
    return panel.canvas(height=height, margins=(left, 46, above, _BELOW))


def _columns(series: int) -> int:
    """Return the columns of a legend, its rows as even as can be: four names stand 2 by 2, not 3 and 1."""
    rows = -(-series // (_MOST_COLUMNS + (series > _MANY)))
    return -(-series // rows)


def _stack(
    drawn: Canvas,
    rows: Sequence[tuple[str, Mapping[str, float]]],
    names: Mapping[str, str],
    unit: str,
    highest: float,
    form: Callable[[float], str],
) -> None:
    """Stack the parts of each row from zero to the right, those below zero to the left; the sum stands at the edge."""
    axes = drawn.axes
    values = np.array([[parts.get(key, 0.0) for key in names] for _, parts in rows])
    ends = np.where(values >= 0, np.maximum(values, 0).cumsum(axis=1), np.minimum(values, 0).cumsum(axis=1))
    panel.from_zero(axes, highest, lambda value: f"{value:g}", axis="x")
    if values.min(initial=0.0) < 0:
        axes.set_xlim(left=float(ends.min()) * 1.1)
    panel.rows(drawn, [label for label, _ in rows], [form(sum(parts.values())) for _, parts in rows])
    for (place, index), value in np.ndenumerate(values):
        drawn.bar(ends[place, index] - value, ends[place, index], place, _BAR, panel.series_colour(index))
    panel.label(drawn, unit)
    _legend(drawn, names)


def _legend(drawn: Canvas, names: Mapping[str, str]) -> None:
    """Write the names above the bars, in the order of the stack."""
    width, height = (side * 72 for side in drawn.figure.get_size_inches())
    columns = _columns(len(names))
    for index, name in enumerate(names.values()):
        row, column = divmod(index, columns)
        x, y = 8 + column * (width - 16) / columns, height - 14 - row * _LEGEND_ROW
        swatch = Rectangle((x / width, (y - 4) / height), 10 / width, 10 / height, linewidth=0)
        swatch.set_facecolor(panel.series_colour(index).light)
        drawn.figure.add_artist(swatch)
        drawn.figure.text((x + 15) / width, (y + 1) / height, name, color=palette.INK.light, fontsize=11, va="center")

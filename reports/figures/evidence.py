"""The number that decided what bounds a cell, second by second in each repeat, with the limit that it reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bundle.reading import Repeat
from reports import formats
from reports.cells import timeseries
from reports.cells.cells import ROLES, Cell
from reports.cells.saturation import LimitUse
from reports.drawing import palette, panel, svg
from reports.drawing.panel import Frame, Panel
from reports.drawing.svg import Line, Mark
from reports.tables import Table, round_of, table

_WIDTH, _HEIGHT = 340, 190
_MOST_ROWS = 120

Floats = NDArray[np.float64]
Series = tuple[Repeat, Floats, Floats]


@dataclass(frozen=True)
class _Source:
    """Where the seconds of a limit stand in timeseries.parquet: the sum of ``columns``, in ``unit``."""

    columns: tuple[str, ...]
    unit: str
    form: Callable[[float], str] = panel.thousands


def _per_cent(value: float) -> str:
    return f"{value:.0%}"


_SOURCES = {
    "machine_cpu": _Source(tuple(f"cpu_s_{role}" for role in ROLES), "cores used by the run's roles"),
    **{f"{role}_process": _Source((f"busiest_process_cpu_s_{role}",), "cores, busiest process") for role in ROLES},
    "write_tickets": _Source(("mongodb_write_tickets_used",), "write tickets in use"),
    "journal": _Source(("mongodb_journal_sync_s",), "of each second in journal syncs", _per_cent),
    "cache_dirty": _Source(("mongodb_cache_dirty_share",), "of MongoDB's cache, dirty", _per_cent),
    "cache_used": _Source(("mongodb_cache_used_share",), "of MongoDB's cache, used", _per_cent),
    "kafka_handlers": _Source(("kafka_handlers_busy_share",), "of Kafka's request handlers' time", _per_cent),
}


def panels(cells: Sequence[Cell]) -> dict[str, Panel]:
    """Draw, by cell, the limit that was reached; cells without one, or whose seconds are not known, are left out."""
    found: dict[str, list[tuple[Cell, LimitUse, list[Series]]]] = {}
    for cell in cells:
        reached = _reached(cell)
        series = list(_series(cell, _SOURCES[reached.key])) if reached else []
        if reached and series:
            found.setdefault(reached.key, []).append((cell, reached, series))
    drawn: dict[str, Panel] = {}
    for key, group in found.items():
        frame = _frame(key, group[0][1], [each for _, _, series in group for each in series])
        drawn |= {cell.plan.id: _panel(cell, key, frame, series) for cell, _, series in group}
    return drawn


def _reached(cell: Cell) -> LimitUse | None:
    """Find the limit that is the cell's verdict, among those whose seconds are recorded."""
    bound = cell.bottleneck
    if bound is None or not bound.determined or bound.resource not in _SOURCES:
        return None
    return next((one for one in bound.evidence if one.key == bound.resource), None)


def _series(cell: Cell, source: _Source) -> Iterator[Series]:
    for repeat in cell.counted:
        frame = timeseries.read(repeat, ("second", "backlog", *source.columns))
        there = [name for name in source.columns if frame is not None and name in frame]
        if frame is not None and there:
            values = frame[there].sum(axis=1, min_count=1).to_numpy(dtype=float)
            # A row holds what was used by the end of its second; before the epoch nothing is drawn.
            at_s = frame["second"].to_numpy(dtype=float) + 1
            known = np.isfinite(values) & (at_s >= 0)
            yield repeat, at_s[known], values[known]


def _frame(key: str, reached: LimitUse, series: Sequence[Series]) -> Frame:
    """Draw the axes that all cells with this limit share, and the line from which on it counts as reached."""
    source, limit = _SOURCES[key], reached.threshold * reached.limit
    with panel.canvas(width=_WIDTH, height=_HEIGHT, margins=(46, 12, 34, 40)) as drawn:
        drawn.axes.set_xlim(0, max(float(at_s.max(initial=1.0)) for _, at_s, _ in series))
        highest = max(limit, *(float(values.max(initial=0.0)) for _, _, values in series))
        panel.from_zero(drawn.axes, highest, source.form)
        drawn.axes.axhline(limit, color=palette.ALARM.light, linewidth=1.2, linestyle=(0, (4, 3)))
        panel.label(drawn, "seconds since the epoch", source.unit)
        return Frame(svg.template(drawn.figure), drawn.axes)


def _panel(cell: Cell, key: str, frame: Frame, series: Sequence[Series]) -> Panel:
    marks: list[Mark] = []
    for index, (repeat, at_s, values) in enumerate(series):
        colour, window = panel.series_colour(index), repeat.result.window
        points = frame.to_pixels(np.column_stack([at_s, values]))
        inside = (at_s > window.start_s) & (at_s <= window.end_s) if window else np.zeros(len(at_s), dtype=bool)
        marks += [Line(points, colour, 1.0, 0.55), Line(points[inside], colour, 2.2)]
    marks = [mark for mark in marks if isinstance(mark, Line) and len(mark.points)]
    marks += panel.rounds([repeat for repeat, _, _ in series], _WIDTH, _HEIGHT)
    title = f"{cell.label_with_kind.capitalize()}: {_SOURCES[key].unit}"
    return frame.finish(f"evidence-{cell.plan.id}", title, _data(cell, series), _table(series), marks)


def _data(cell: Cell, series: Sequence[Series]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"cell": cell.plan.id, "round": repeat.result.round, "second": at_s - 1, "value": values})
        for repeat, at_s, values in series
    ]
    return pd.concat(parts, ignore_index=True)


def _table(series: Sequence[Series]) -> Table:
    levels = [dict(zip(at_s.tolist(), values.tolist(), strict=True)) for _, at_s, values in series]
    seconds = sorted({second for level in levels for second in level})[:_MOST_ROWS]
    rows = [[formats.count(s - 1), *(formats.rounded(level.get(s)) for level in levels)] for s in seconds]
    return table(["second", *(f"round {round_of(repeat.result)}" for repeat, _, _ in series)], rows, text=0)

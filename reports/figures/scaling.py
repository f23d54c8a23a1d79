"""How throughput grows with the consumers: levels with their intervals, and the fitted curve with its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator

from reports import formats
from reports.drawing import palette, panel
from reports.drawing.panel import Canvas, Panel
from reports.scaling.scaling import LEVELS_ENOUGH, Level, Scaling
from reports.tables import Table, table

_CURVE, _LEVEL, _PEAK = palette.SERIES[0], palette.SERIES[1], palette.MUTED
_BAND = 0.16
_MOST_TICKS = 12


def panels(curves: Sequence[Scaling]) -> list[Panel]:
    """Draw each curve with levels enough, fitted or not; one of fewer levels is in the scaling curves already."""
    having = [curve for curve in curves if len(curve.levels) >= LEVELS_ENOUGH]
    return [_panel(curve, number) for number, curve in enumerate(having, start=1)]


def _panel(curve: Scaling, number: int) -> Panel:
    with panel.canvas(margins=(58, 84, 22, 44)) as drawn:
        most = max(level.consumers for level in curve.levels)
        furthest = 2 * most if curve.fit else most
        drawn.axes.set_xlim(0, furthest * 1.04)
        panel.from_zero(drawn.axes, _highest(curve), panel.thousands)
        ticks = (
            range(1, furthest + 1) if furthest <= _MOST_TICKS else range(0, furthest + 1, -(-furthest // _MOST_TICKS))
        )
        drawn.axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
        if curve.fit:
            _draw_fit(drawn, curve, most)
        _draw_levels(drawn, curve.levels)
        panel.label(drawn, "consumers", "events/s")
        title = f"{curve.kind.capitalize()}: {curve.label}"
        return drawn.finish(f"scaling-{curve.kind}-{number}", title, _frame(curve), _table(curve))


def _highest(curve: Scaling) -> float:
    values = [level.value or 0.0 for level in curve.levels]
    highs = [level.high for level in curve.levels if level.high is not None]
    fitted = [point.high for point in curve.fit.curve] if curve.fit else []
    # A very wide interval may leave the axes: it must not flatten everything else.
    return max([*values, *(min(high, 1.5 * max(values)) for high in (*highs, *fitted))])


def _draw_fit(drawn: Canvas, curve: Scaling, most: int) -> None:
    """Draw the fitted curve, solid as far as it was measured and dashed beyond, and its interval as a band."""
    if curve.fit is None:
        return
    points = curve.fit.curve
    n = np.array([point.consumers for point in points])
    value = np.array([point.value for point in points])
    lows, highs = [point.low for point in points], [point.high for point in points]
    drawn.axes.fill_between(n, lows, highs, color=_CURVE.light, alpha=_BAND, linewidth=0, zorder=1)
    drawn.axes.plot(n[n <= most], value[n <= most], color=_CURVE.light, linewidth=1.7, zorder=2)
    drawn.axes.plot(n[n >= most], value[n >= most], color=_CURVE.light, linewidth=1.4, linestyle=(0, (4, 3)), zorder=2)
    ends = [(float(n[-1]), float(value[-1]), "fit, beyond", _CURVE)]
    panel.end_labels(drawn.axes, ends)


def _draw_levels(drawn: Canvas, levels: Sequence[Level]) -> None:
    """Draw each level with its interval; hollow where no curve may be fitted through it."""
    for level in levels:
        if level.value is None:
            continue
        if level.low is not None and level.high is not None:
            across = [level.consumers, level.consumers]
            drawn.axes.plot(across, [level.low, level.high], color=_LEVEL.light, linewidth=1.2, zorder=3)
        face = palette.PAPER.light if level.left_out else _LEVEL.light
        place = ([level.consumers], [level.value])
        drawn.axes.plot(*place, "o", color=_LEVEL.light, mfc=face, mew=1.4, markersize=6, zorder=4)


def _frame(curve: Scaling) -> pd.DataFrame:
    levels = [
        {
            "what": "measured",
            "consumers": level.consumers,
            "events_per_s": level.value,
            "low_events_per_s": level.low,
            "high_events_per_s": level.high,
            "left_out": level.left_out,
        }
        for level in curve.levels
    ]
    fitted = [
        {
            "what": "fitted",
            "consumers": point.consumers,
            "events_per_s": point.value,
            "low_events_per_s": point.low,
            "high_events_per_s": point.high,
            "left_out": "",
        }
        for point in (curve.fit.curve if curve.fit else ())
    ]
    return pd.DataFrame([*levels, *fitted])


def _table(curve: Scaling) -> Table:
    """One row a measured level, with the fitted throughput beside it."""
    rows = []
    for level in curve.levels:
        point = curve.fit.at(level.consumers) if curve.fit else None
        low, high = formats.rounded(level.low), formats.rounded(level.high)
        span = f"{low} to {high}" if level.low is not None else formats.NOTHING
        fitted = formats.rounded(point.value if point else None)
        rows.append([str(level.consumers), formats.rounded(level.value), span, fitted, level.left_out])
    heads = ["consumers", "measured, events/s", "interval", "fitted, events/s", "left out, because"]
    return table(heads, rows, text=0, words=["left out, because"])

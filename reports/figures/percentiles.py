"""Delivery latency and response time as percentile curves, as far as 10 independent requests lie beyond."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from reports import formats
from reports.cells import axes as axis_names
from reports.cells.cells import Cell
from reports.drawing import palette, panel
from reports.drawing.panel import Panel
from reports.tables import MEASURE_NAMES, measured
from stats.percentiles import REQUESTS_BEYOND

_POINTS_PER_DECADE = 40
_LETTER_WIDTH, _BEFORE_LABEL, _NARROWEST, _WIDEST = 6.4, 22, 92, 190
_TICKS = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)
_CROWDED_FROM = 0.9998
"""On an axis that goes this far, 90% has no room beside 95%."""
_MS_TICKS = (1, 2, 5)


def panels(cells: Sequence[Cell], measure: str) -> list[Panel]:
    """Draw the curves of all cells, a panel for every seven lines or, if more, for every value of partitions."""
    drawable = [cell for cell in cells if measure in cell.pooled and cell.largest_shares.get(measure, 0.0) > 0]
    if not drawable:
        return []
    values = [value for cell in drawable for value in _span_ms(cell, measure)]
    limits = (min(values), max(values))
    found = []
    for index, group in enumerate(_groups(drawable)):
        name = f"{measure.replace('_', '-')}-percentiles" + (f"-{index + 1}" if index else "")
        found.append(_panel(group, measure, limits, name))
    return found


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    most = len(palette.SERIES)
    if len(cells) <= most:
        return [list(cells)]
    by_partitions = axis_names.values((cell.plan for cell in cells), axis_names.PARTITIONS)
    groups = [[c for c in cells if c.plan.axes.get(axis_names.PARTITIONS) == value] for value in by_partitions]
    return [group[start : start + most] for group in groups for start in range(0, len(group), most)]


def _span_ms(cell: Cell, measure: str) -> tuple[float, float]:
    distribution, largest = cell.pooled[measure], cell.largest_shares[measure]
    return max(distribution.quantile(0.01), 1e-3), max(distribution.quantile(largest), 2e-3)


def _panel(group: Sequence[Cell], measure: str, limits_ms: tuple[float, float], name: str) -> Panel:
    title = MEASURE_NAMES[measure]
    longest = max(len(cell.label) for cell in group)
    right = min(max(_NARROWEST, longest * _LETTER_WIDTH + _BEFORE_LABEL), _WIDEST)
    with panel.canvas(margins=(50, right, 30, 46)) as drawn:
        frames, ends = [], []
        furthest = max(cell.largest_shares[measure] for cell in group)
        _scales(drawn.axes, furthest, limits_ms)
        for index, cell in enumerate(group):
            frame = _curve(cell, measure)
            colour = panel.series_colour(index)
            x, y = frame["one_over_one_minus_q"].to_numpy(), frame["milliseconds"].to_numpy()
            drawn.axes.plot(x, y, color=colour.light, linewidth=1.7, drawstyle="steps-post")
            drawn.axes.plot(x[-1:], y[-1:], panel.marker(index), color=colour.light, markersize=5)
            ends.append((x[-1], y[-1], cell.label, colour))
            frames.append(frame)
        panel.label(drawn, "percentile, axis in 1/(1−q)", "ms")
        panel.end_labels(drawn.axes, ends)
        return drawn.finish(name, title, pd.concat(frames, ignore_index=True), measured.percentiles(group, measure))


def _curve(cell: Cell, measure: str) -> pd.DataFrame:
    """Take the quantiles at equal steps of log 1/(1-q), from 0 to the largest gated in."""
    decades = -math.log10(1 - cell.largest_shares[measure])
    steps = np.linspace(0, decades, max(2, round(decades * _POINTS_PER_DECADE) + 1))
    shares = 1 - 10.0**-steps
    shares[-1] = cell.largest_shares[measure]
    return pd.DataFrame(
        {
            "cell": cell.plan.id,
            "q": shares,
            "one_over_one_minus_q": 1 / (1 - shares),
            "milliseconds": cell.pooled[measure].at(shares),
            "requests": cell.requests,
        }
    )


def _scales(axes: Axes, furthest: float, limits_ms: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(1, 1 / (1 - furthest) * 1.06)
    crowded = {0.9} if furthest >= _CROWDED_FROM else set()
    ticks = [share for share in _TICKS if share <= furthest and share not in crowded]
    axes.xaxis.set_major_locator(FixedLocator([1 / (1 - share) for share in ticks]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * (1 - 1 / x):.6g}%"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yscale("log")
    low, high = limits_ms
    axes.set_ylim(low * 0.9, high * 1.15)
    first, last = math.floor(math.log10(low * 0.9)), math.ceil(math.log10(high * 1.15))
    few = _MS_TICKS if last - first <= len(_MS_TICKS) else (1,)
    axes.yaxis.set_major_locator(FixedLocator([m * 10.0**e for e in range(first, last + 1) for m in few]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: formats.rounded(y) if y < 1 else f"{y:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def gate_sentence(cells: Sequence[Cell]) -> str:
    """Say up to which percentile the curves go, and on how many requests they rest."""
    requests = [cell.requests for cell in cells if cell.requests]
    if not requests:
        return ""
    low, high = formats.count(min(requests)), formats.count(max(requests))
    some = low if low == high else f"{low} to {high}"
    return (
        f"A curve ends where fewer than {REQUESTS_BEYOND} independent requests lie beyond; "
        f"the cells have {some} requests each, all valid repeats pooled by adding their histograms."
    )

"""The ratios of a comparison: one row a cell, its interval, the ratio of each round, and the floor as a band."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.comparison import words
from reports.drawing import palette, panel
from reports.drawing.palette import Colour
from reports.drawing.panel import Canvas, Panel
from reports.ratios.outcome import CellComparison, Comparison
from stats.inference import Verdict

WIDTH = 960
_ROW_HEIGHT, _ABOVE, _BELOW = 30, 34, 48
_LETTER_WIDTH, _NARROWEST, _WIDEST = 6.4, 120, 380
_RIGHT = 250
_WIDEST_INTERVAL = math.log(4)
_NARROWEST_SPAN = math.log(1.06)
_TICKS = (0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0)
_TICK_DISTANCE = 0.06
_COLOURS: dict[Verdict, Colour] = {
    "faster": palette.SERIES[2],
    "slower": palette.ALARM,
    "same": palette.SERIES[0],
    "cannot tell": palette.MUTED,
}


def ratios(comparison: Comparison) -> Panel | None:
    """Draw every ratio on one logarithmic axis, 1 in its middle; None where no cell has one."""
    cells = [cell for cell in comparison.cells if cell.primary.ratio is not None]
    if not cells:
        return None
    names = [f"{cell.label}: {cell.primary.measure.title}" for cell in cells]
    left = min(max(_NARROWEST, max(map(len, names)) * _LETTER_WIDTH + 8), _WIDEST)
    height = _ABOVE + _ROW_HEIGHT * len(cells) + _BELOW
    with panel.canvas(width=WIDTH, height=height, margins=(left, _RIGHT, _ABOVE, _BELOW)) as drawn:
        edge = _edge(cells, paired=comparison.interleaved)
        _frame(drawn, names, edge, comparison.rules.floor)
        for place, cell in enumerate(cells):
            _row(drawn.axes, place, cell, edge, paired=comparison.interleaved)
        title = "Ratio of NEW to BASE, above 1 better"
        return drawn.finish("ratios", title, _data(cells), words.primary_table(comparison))


def _edge(cells: Sequence[CellComparison], *, paired: bool) -> float:
    """Return where the axis ends, as a logarithm: beyond the intervals, but a very wide one may leave the axis."""
    reach = [_NARROWEST_SPAN]
    for cell in cells:
        bounds = [
            cell.primary.ratio,
            cell.primary.low,
            cell.primary.high,
            *(_round_ratios(cell).values() if paired else ()),
        ]
        found = [abs(math.log(bound)) for bound in bounds if bound]
        reach.append(min(max(found), max(_WIDEST_INTERVAL, found[0])))
    return max(reach) * 1.12


def _frame(drawn: Canvas, names: Sequence[str], edge: float, floor: float) -> None:
    axes = drawn.axes
    axes.set_xscale("log")
    axes.set_xlim(math.exp(-edge), math.exp(edge))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), list(names))
    axes.tick_params(axis="y", labelcolor=palette.INK.light)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", which="major", color=palette.RULE.light, linewidth=0.8)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(edge)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvspan(1 / (1 + floor), 1 + floor, color=palette.RULE.light, linewidth=0, zorder=0)
    axes.axvline(1.0, color=palette.INK.light, linewidth=0.9, zorder=1)
    panel.label(drawn, f"ratio, logarithmic; the band is the floor of {floor:.0%}")
    for x, text, side in ((0.0, "NEW is worse", "left"), (1.0, "NEW is better", "right")):
        axes.text(x, 1.0, f"{text}\n", transform=axes.transAxes, color=palette.MUTED.light, fontsize=11, ha=side)


def _ticks(edge: float) -> list[float]:
    """Return the round ratios that the axis has room for, 1 among them."""
    found = [1.0]
    for tick in sorted(_TICKS, key=lambda each: abs(math.log(each))):
        apart = min(abs(math.log(tick / other)) for other in found) / (2 * edge)
        if abs(math.log(tick)) <= edge and apart >= _TICK_DISTANCE:
            found.append(tick)
    return sorted(found)


def _row(axes: Axes, place: int, cell: CellComparison, edge: float, *, paired: bool) -> None:
    of, colour = cell.primary, _COLOURS[cell.verdict].light
    low, high = (math.exp(-edge) if of.low is None else of.low), (math.exp(edge) if of.high is None else of.high)
    axes.plot([low, high], [place, place], color=colour, linewidth=2.2, zorder=3, solid_capstyle="butt")
    if paired:
        points = list(_round_ratios(cell).values())
        axes.plot(points, [place + 0.24] * len(points), "o", color=colour, markersize=3, alpha=0.6, mew=0, zorder=2)
    face = palette.PAPER.light if cell.verdict == "cannot tell" else colour
    axes.plot([of.ratio or 1.0], [place], "D", color=colour, mfc=face, mew=1.5, markersize=6.5, zorder=4)
    _write_beside(axes, place, cell)


def _write_beside(axes: Axes, place: int, cell: CellComparison) -> None:
    """Write numbers and verdict right of the axes, in two columns."""
    numbers = f"{words.ratio(cell.primary.ratio)}  ({words.interval(cell.primary)})"
    columns = ((14, numbers, palette.INK, "normal"), (172, cell.verdict, _COLOURS[cell.verdict], "bold"))
    for distance, text, colour, weight in columns:
        x = 1 + distance / float(axes.get_window_extent().width)
        where = axes.get_yaxis_transform()
        axes.text(x, place, text, transform=where, va="center", fontsize=11, color=colour.light, fontweight=weight)


def _round_ratios(cell: CellComparison) -> dict[int, float]:
    of = cell.primary
    rounds = sorted(of.base.keys() & of.new.keys())
    if of.measure.more_is_better:
        return {number: of.new[number] / of.base[number] for number in rounds}
    return {number: of.base[number] / of.new[number] for number in rounds}


def _data(cells: Sequence[CellComparison]) -> pd.DataFrame:
    rows = [
        {
            "cell": cell.base.plan.id,
            "measure": cell.primary.measure.name,
            "verdict": cell.verdict,
            "ratio": cell.primary.ratio,
            "interval_low": cell.primary.low,
            "interval_high": cell.primary.high,
            "rounds": cell.primary.rounds,
        }
        for cell in cells
    ]
    return pd.DataFrame(rows)

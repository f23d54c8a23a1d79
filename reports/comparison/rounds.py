"""Every repeat of a cell in both runs, round by round."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.ticker import MaxNLocator

from reports import formats
from reports.drawing import palette, panel
from reports.drawing.palette import Colour
from reports.drawing.panel import Canvas, Panel
from reports.ratios.outcome import CellComparison
from reports.tables import Table, table

BASE, NEW = palette.SERIES[0], palette.SERIES[1]
_BESIDE = 0.11


def both(cell: CellComparison, *, paired: bool) -> Panel | None:
    """Draw the judged measure of both runs over the rounds, pairs joined; None where a run has no value."""
    of = cell.primary
    if not of.base or not of.new:
        return None
    values = [*of.base.values(), *of.new.values()]
    with panel.canvas(height=220, margins=(58, 60, 30, 46)) as drawn:
        panel.from_zero(drawn.axes, max(values), panel.thousands)
        if paired:
            for number in of.base.keys() & of.new.keys():
                joined = [of.base[number], of.new[number]]
                xs = [number - _BESIDE, number + _BESIDE]
                drawn.axes.plot(xs, joined, color=palette.MUTED.light, linewidth=1.0, zorder=2)
        ends = [
            _side(drawn, of.base, "BASE", BASE, -_BESIDE, "o"),
            _side(drawn, of.new, "NEW", NEW, _BESIDE, "s"),
        ]
        panel.end_labels(drawn.axes, ends)
        drawn.axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        panel.label(drawn, "round", f"{of.measure.title}, {of.measure.unit}")
        title = f"{cell.name}: {cell.verdict}"
        name = f"rounds-{cell.base.plan.id}" + (f"-{of.measure.name}" if cell.judges_cpu else "")
        return drawn.finish(name, title, _data(cell), _table(cell))


def _side(
    drawn: Canvas, values: Mapping[int, float], name: str, colour: Colour, shift: float, marker: str
) -> tuple[float, float, str, Colour]:
    """Draw the points of one run, and a line at their geometric mean; return where that ends."""
    xs = [number + shift for number in values]
    drawn.axes.plot(xs, list(values.values()), marker, color=colour.light, markersize=5, mew=0, zorder=3)
    mean = math.exp(sum(map(math.log, values.values())) / len(values))
    drawn.axes.axhline(mean, color=colour.light, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    return drawn.axes.get_xlim()[1], mean, name, colour


def _data(cell: CellComparison) -> pd.DataFrame:
    of = cell.primary
    rounds = sorted(of.base.keys() | of.new.keys())
    rows = [{"round": number, "base": of.base.get(number), "new": of.new.get(number)} for number in rounds]
    return pd.DataFrame(rows)


def _table(cell: CellComparison) -> Table:
    of = cell.primary
    rows = [
        [str(number), of.measure.form(of.base.get(number)), of.measure.form(of.new.get(number))]
        for number in sorted(of.base.keys() | of.new.keys())
    ]
    return table(
        ["round", f"BASE, {of.measure.unit}", f"NEW, {of.measure.unit}"], rows or [[formats.NOTHING] * 3], text=0
    )

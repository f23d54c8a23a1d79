"""The searches of a capacity cell in both runs: delivery latency against offered load, and both answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from bundle.reading import Repeat
from reports import formats
from reports.answer import searches
from reports.cells.cells import Cell
from reports.comparison.rounds import BASE, NEW
from reports.drawing import palette, panel
from reports.drawing.palette import Colour
from reports.drawing.panel import Canvas, Panel
from reports.ratios.outcome import CellComparison
from reports.tables import table

_BAND = 0.15
_ROOM = 1.6


def probes(cell: CellComparison) -> Panel | None:
    """Draw the p99 of every probe of both searches, hollow where its load was not sustained; bands are the intervals.

    None where a run has no probe with a p99.
    """
    sides = [("BASE", BASE, "o", cell.base, _measured(cell.base)), ("NEW", NEW, "s", cell.new, _measured(cell.new))]
    if not all(measured for *_, measured in sides):
        return None
    p99s = [p99 for *_, measured in sides for _, p99 in measured]
    with panel.canvas(height=260, margins=(58, 60, 30, 46)) as drawn:
        panel.from_zero(drawn.axes, _furthest(cell), panel.thousands, axis="x")
        drawn.axes.set_yscale("log")
        drawn.axes.set_ylim(min(p99s) / _ROOM, max(p99s) * _ROOM)
        drawn.axes.yaxis.set_major_formatter(lambda value, _: formats.rounded(value))
        drawn.axes.yaxis.set_minor_formatter(lambda *_: "")
        ends = [_side(drawn, name, colour, marker, of, measured) for name, colour, marker, of, measured in sides]
        panel.end_labels(drawn.axes, ends)
        panel.label(drawn, "offered load, events/s", "delivery latency p99, ms")
        rows = [
            [name, formats.count(_load(probe)), formats.milliseconds(p99), searches.verdict(probe)]
            for name, *_, measured in sides
            for probe, p99 in measured
        ]
        heads = ["run", "offered load, events/s", "delivery latency p99, ms", "verdict"]
        name = f"probes-{cell.base.plan.id}"
        return drawn.finish(
            name, f"{cell.label}: {cell.verdict}", pd.DataFrame(rows, columns=heads), table(heads, rows)
        )


_Measured = Sequence[tuple[Repeat, float]]


def _measured(cell: Cell) -> _Measured:
    """Return the valid probes that have a p99, by their load."""
    latencies = [(repeat, repeat.result.delivery_latency_ms) for repeat in cell.valid]
    found = [(repeat, latency.p99) for repeat, latency in latencies if latency and latency.p99 and _load(repeat)]
    return sorted(found, key=lambda pair: _load(pair[0]))


def _side(
    drawn: Canvas, name: str, colour: Colour, marker: str, cell: Cell, measured: _Measured
) -> tuple[float, float, str, Colour]:
    """Draw one search; return where its name stands: at the height of its highest load."""
    for probe, p99 in measured:
        sustained = searches.verdict(probe) == searches.SUSTAINED
        face = colour.light if sustained else palette.PAPER.light
        drawn.axes.plot([_load(probe)], [p99], marker, color=colour.light, mfc=face, mew=1.4, markersize=6, zorder=3)
    _answer(drawn.axes, cell, colour)
    return drawn.axes.get_xlim()[1], measured[-1][1], name, colour


def _answer(axes: Axes, cell: Cell, colour: Colour) -> None:
    found = cell.capacity
    if found is None:
        return
    low, high = found.low_events_per_s or 0.0, found.high_events_per_s or axes.get_xlim()[1]
    axes.axvspan(low, high, color=colour.light, alpha=_BAND, linewidth=0, zorder=0.5)
    if found.sustainable_events_per_s is not None:
        axes.axvline(found.sustainable_events_per_s, color=colour.light, linewidth=1.4, zorder=2)


def _load(repeat: Repeat) -> float:
    return repeat.result.offered_load_events_per_s or 0.0


def _furthest(cell: CellComparison) -> float:
    """Return the highest load that is drawn."""
    found = [_load(repeat) for side in (cell.base, cell.new) for repeat in side.valid]
    found += [side.capacity.high_events_per_s or 0.0 for side in (cell.base, cell.new) if side.capacity]
    return max(found, default=math.nan)

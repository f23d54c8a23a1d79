"""Delivery latency against offered load from all probes of a search, with its answer, interval and knee."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from bundle.reading import Repeat
from reports import formats
from reports.answer import searches
from reports.cells.cells import Cell
from reports.drawing import palette, panel
from reports.drawing.panel import Canvas, Panel
from reports.tables import capacity as tables

_HEIGHT = 330
_MARGINS = (52, 70, 58, 44)
_LETTER_WIDTH = 6.3
_QUANTILES = ("p50", "p95", "p99")
_BAND = 0.18
"""How opaque the interval is; one that has no bound on a side is half as much."""


@dataclass(frozen=True)
class _Mark:
    """How a verdict is drawn."""

    marker: str
    colour: palette.Colour
    filled: bool


_MARKS = {
    searches.SUSTAINED: _Mark("o", palette.SERIES[2], filled=True),
    searches.NOT_SUSTAINED: _Mark("X", palette.SERIES[1], filled=True),
    searches.UNDETERMINED: _Mark("D", palette.SERIES[4], filled=False),
    searches.VOID: _Mark("x", palette.MUTED, filled=False),
}
_LINES = {"p50": palette.SERIES[5], "p95": palette.SERIES[6], "p99": palette.SERIES[0]}


def curves(cells: Sequence[Cell]) -> list[Panel]:
    """Draw one panel for each cell that has a probe with an offered load."""
    found = []
    for cell in cells:
        probes = [repeat for repeat in cell.attempts if repeat.result.offered_load_events_per_s]
        if probes:
            found.append(_curve(cell, probes, searches.objective_p99_ms(cell.capacity)))
    return found


def _curve(cell: Cell, probes: Sequence[Repeat], objective_ms: float | None) -> Panel:
    values = [value for repeat in probes for name in _QUANTILES if (value := _value(repeat, name))]
    values += [objective_ms] if objective_ms else []
    low, high = (min(values) / 1.25, max(values) * 1.4) if values else (1.0, 1000.0)
    with panel.canvas(height=_HEIGHT, margins=_MARGINS) as drawn:
        furthest = max(_load(repeat) for repeat in probes)
        answer = cell.capacity
        furthest = max(furthest, (answer.high_events_per_s or 0.0) if answer else 0.0)
        panel.from_zero(drawn.axes, furthest, panel.thousands, axis="x")
        _duration_scale(drawn.axes, low, high)
        ends = _draw_answer(drawn, cell, objective_ms)
        ends += [end for name in _QUANTILES if (end := _draw_line(drawn.axes, probes, name))]
        _draw_marks(drawn.axes, probes, high)
        _legend(drawn, {searches.verdict(repeat) for repeat in probes})
        panel.label(drawn, "offered load, events/s", "delivery latency, ms")
        panel.end_labels(drawn.axes, ends)
        name = f"capacity-{cell.plan.id.removeprefix('capacity-')}"
        return drawn.finish(name, cell.label_with_kind.capitalize(), _frame(cell, probes), tables.probes(cell))


def _load(repeat: Repeat) -> float:
    return repeat.result.offered_load_events_per_s or 0.0


def _value(repeat: Repeat, name: str) -> float | None:
    measured = repeat.result.delivery_latency_ms
    value: float | None = getattr(measured, name) if measured else None
    return value if value is not None and value > 0 else None


def _duration_scale(axes: Axes, low: float, high: float) -> None:
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1,)  # noqa: PLR2004 - beyond two decades there are ticks enough
    axes.yaxis.set_major_locator(FixedLocator([step * 10.0**e for e in range(first, last + 1) for step in steps]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: formats.rounded(y) if y < 1 else f"{y:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


_End = tuple[float, float, str, palette.Colour]


def _draw_answer(drawn: Canvas, cell: Cell, objective_ms: float | None) -> list[_End]:
    """Draw the interval as a band, the answer and the knee as upright lines, the objective as a level one."""
    axes, found = drawn.axes, cell.capacity
    ends: list[_End] = []
    if objective_ms:
        axes.axhline(objective_ms, color=palette.ALARM.light, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1.5)
        ends.append((axes.get_xlim()[1], objective_ms, "objective", palette.ALARM))
    if found is None:
        return ends
    left, right = axes.get_xlim()
    low = left if found.low_events_per_s is None else found.low_events_per_s
    high = right if found.high_events_per_s is None else found.high_events_per_s
    bounded = found.low_events_per_s is not None and found.high_events_per_s is not None
    if not found.low_events_per_s is found.high_events_per_s is None:
        axes.axvspan(
            low, high, color=palette.SERIES[2].light, alpha=_BAND if bounded else _BAND / 2, linewidth=0, zorder=0.5
        )
    if found.sustainable_events_per_s is not None:
        _upright(axes, found.sustainable_events_per_s, formats.rounded(found.sustainable_events_per_s), solid=True)
    if found.knee_events_per_s is not None:
        _upright(axes, found.knee_events_per_s, "knee", solid=False)
    return ends


def _upright(axes: Axes, at: float, text: str, *, solid: bool) -> None:
    colour = palette.INK if solid else palette.MUTED
    axes.axvline(at, color=colour.light, linewidth=1.1, linestyle="-" if solid else (0, (1.5, 2)), zorder=1.6)
    axes.annotate(
        text,
        (at, 0 if solid else 1),  # one at the foot, the other at the head: both may lie near each other
        (3 if solid else -3, 4 if solid else -12),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        fontsize=11,
        fontweight="bold" if solid else "normal",
        color=colour.light,
        ha="left" if solid else "right",
    )


def middle_line(probes: Sequence[Repeat], name: str) -> dict[float, float]:
    """Return one percentile (ms) of the middle valid probe of each load, loads ascending; none is averaged."""
    by_load: dict[float, list[float]] = {}
    for repeat in probes:
        value = _value(repeat, name)
        if repeat.result.valid and value is not None:
            by_load.setdefault(_load(repeat), []).append(value)
    return {load: statistics.median_low(by_load[load]) for load in sorted(by_load)}


def _draw_line(axes: Axes, probes: Sequence[Repeat], name: str) -> _End | None:
    line = middle_line(probes, name)
    if not line:
        return None
    colour = _LINES[name]
    axes.plot(list(line), list(line.values()), color=colour.light, linewidth=1.7 if name == "p99" else 1.2, zorder=2)
    return (*list(line.items())[-1], name, colour)


def _draw_marks(axes: Axes, probes: Sequence[Repeat], top: float) -> None:
    """Mark each probe by its verdict; one without a percentile stands on the upper edge."""
    for verdict, mark in _MARKS.items():
        own = [repeat for repeat in probes if searches.verdict(repeat) == verdict]
        for name, size in (("p99", 7.5), ("p95", 4.5), ("p50", 4.5)):
            shown = [repeat for repeat in own if name == "p99" or _value(repeat, name)]
            values = [_value(repeat, name) or top for repeat in shown]
            _plot_marks(axes, [_load(repeat) for repeat in shown], values, mark, size)


def _plot_marks(axes: Axes, xs: Sequence[float], ys: Sequence[float], mark: _Mark, size: float) -> None:
    face = mark.colour.light if mark.filled else palette.PAPER.light
    width = 0.0 if mark.filled else 1.4
    axes.plot(
        xs, ys, mark.marker, markersize=size, color=mark.colour.light, mfc=face, mew=width, zorder=4, clip_on=False
    )


def _legend(drawn: Canvas, verdicts: set[str]) -> None:
    """Name the marks that are there above the axes."""
    width, height = (side * 72 for side in drawn.figure.get_size_inches())
    x = _MARGINS[0] / width
    for verdict in (name for name in _MARKS if name in verdicts):
        mark = _MARKS[verdict]
        face = mark.colour.light if mark.filled else palette.PAPER.light
        sign = Line2D(
            [x], [(height - 14) / height], marker=mark.marker, color=mark.colour.light, mfc=face, markersize=6.5
        )
        sign.set_markeredgewidth(0.0 if mark.filled else 1.4)
        drawn.figure.add_artist(sign)
        x += 10 / width
        drawn.figure.text(x, (height - 14) / height, verdict, color=palette.INK.light, fontsize=11, va="center")
        x += (len(verdict) * _LETTER_WIDTH + 16) / width


def _frame(cell: Cell, probes: Sequence[Repeat]) -> pd.DataFrame:
    found = cell.capacity
    return pd.DataFrame(
        [
            {
                "cell": cell.plan.id,
                "probe": repeat.result.round,
                "attempt": repeat.result.attempt,
                "step": repeat.result.probe.step if repeat.result.probe else None,
                "verdict": searches.verdict(repeat),
                "offered_load_events_per_s": _load(repeat),
                **{f"delivery_latency_{name}_ms": _value(repeat, name) for name in _QUANTILES},
                "deficit_events_per_s": repeat.result.probe.deficit_events_per_s if repeat.result.probe else None,
                "sustainable_events_per_s": found.sustainable_events_per_s if found else None,
            }
            for repeat in probes
        ]
    )

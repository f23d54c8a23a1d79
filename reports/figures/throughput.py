"""Throughput of partitions × consumers: a heat map, and scaling curves with every repeat as a point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bundle.interval import Interval
from reports import formats
from reports.cells import axes as axis_names
from reports.cells.axes import Layout
from reports.cells.cells import Cell
from reports.drawing import palette, panel
from reports.drawing.panel import Panel
from reports.tables import span, table

_BLANK_HEIGHT, _ROW_HEIGHT = 74, 80
_DODGE = 0.12
_BESIDE = 0.05
_NAME_LIMIT = 40


def panels(cells: Sequence[Cell], kind: str) -> list[Panel]:
    """Draw both figures for each combination of the axes beyond two; all share one scale."""
    names = axis_names.naming(cell.plan for cell in cells)
    grid = axis_names.layout(names.varying)
    highest = _highest(cells)
    found = []
    for index, (combination, group) in enumerate(_groups(cells, grid)):
        suffix = f"-{index + 1}" if grid.panels else ""
        said = ", ".join(axis_names.words(n, v) for n, v in zip(grid.panels, combination, strict=True))
        said = f": {said}" if said else ""
        found.append(_heat_map(group, grid, cells, f"throughput-{kind}-heat{suffix}", f"Heat map{said}"))
        found.append(_curves(group, grid, highest, f"throughput-{kind}-scaling{suffix}", f"Scaling{said}"))
    return found


def cuts_an_interval(cells: Sequence[Cell]) -> bool:
    """Say whether an interval is so wide that it leaves the axes of the curves."""
    edge = _highest(cells) * panel.ROOM_ABOVE
    return any(cell.throughput.high > edge for cell in cells if cell.throughput and cell.throughput.high)


def _highest(cells: Sequence[Cell]) -> float:
    return max((_top(cell) for cell in cells), default=0.0)


def _groups(cells: Sequence[Cell], grid: Layout) -> list[tuple[tuple[Any, ...], list[Cell]]]:
    """Return the cells of each combination of the axes beyond two, in the order of the axes' values."""
    choices = [axis_names.values((cell.plan for cell in cells), name) for name in grid.panels]
    found = []
    for combination in product(*choices):
        group = [
            c for c in cells if all(c.plan.axes.get(n) == v for n, v in zip(grid.panels, combination, strict=True))
        ]
        if group:
            found.append((combination, group))
    return found


def _top(cell: Cell) -> float:
    values = [repeat.result.throughput_events_per_s or 0.0 for repeat in cell.counted]
    high = cell.throughput.high if cell.throughput else None
    # A very wide interval (two repeats) may leave the axes: it must not flatten everything else.
    return max([*values, min(high or 0.0, 1.5 * max(values, default=0.0))])


def _heat_map(group: Sequence[Cell], grid: Layout, everything: Sequence[Cell], name: str, title: str) -> Panel:
    downs = axis_names.values((cell.plan for cell in group), grid.down)
    acrosses = axis_names.values((cell.plan for cell in group), grid.across)
    means = [cell.throughput.mean for cell in everything if cell.throughput]
    low, high = (min(*means, max(means) / 2), max(means)) if means else (0.0, 1.0)
    height = _BLANK_HEIGHT + _ROW_HEIGHT * len(downs)
    with panel.canvas(height=height, margins=(58, 10, 24, 50)) as drawn:
        for cell in group:
            place = (acrosses.index(cell.plan.axes.get(grid.across)), downs.index(cell.plan.axes.get(grid.down)))
            _heat_cell(drawn.axes, place, cell, (low, high))
        _grid_axes(drawn.axes, downs, acrosses)
        panel.label(drawn, axis_names.title(grid.across), f"{axis_names.title(grid.down)}, cells in events/s")
        rows = [_row(cell, grid) for cell in group]
        heads = [axis_names.title(grid.down), axis_names.title(grid.across), "events/s (geometric mean)"]
        heads += ["95% t interval on log values", "repeats", "idle consumers"]
        return drawn.finish(name, title, _means_frame(group), table(heads, rows, text=0))


def _heat_cell(axes: Axes, place: tuple[int, int], cell: Cell, scale: tuple[float, float]) -> None:
    x, y = place
    interval = cell.throughput
    if interval is None:
        box = Rectangle((x + 0.02, y + 0.03), 0.96, 0.94, fill=False, edgecolor=palette.MUTED.light, linestyle=":")
        axes.add_patch(box)
        text = "no valid repeat" if not cell.counted else "nothing stored"
        axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=palette.MUTED.light, fontsize=11)
        return
    low, high = scale
    step = round((interval.mean - low) / ((high - low) or 1) * (palette.HEAT_STEPS - 1))
    ink = palette.HEAT_TEXT_HIGH if step >= palette.HEAT_TEXT_FROM_STEP else palette.HEAT_TEXT_LOW
    axes.add_patch(Rectangle((x + 0.01, y + 0.015), 0.98, 0.97, facecolor=palette.HEAT[step].light, edgecolor="none"))
    middle: dict[str, Any] = {"ha": "center", "va": "center", "color": ink.light}
    lines = [f"{formats.rounded(interval.low)}–{formats.rounded(interval.high)}"] if interval.low is not None else []
    if cell.idle_consumers:
        lines.append(f"{cell.idle_consumers} idle")
    top = y + 0.5 - 0.13 * len(lines)
    axes.text(x + 0.5, top, formats.rounded(interval.mean), fontsize=15, fontweight="bold", **middle)
    for number, line in enumerate(lines, start=1):
        axes.text(x + 0.5, top + 0.06 + 0.24 * number, line, fontsize=10, **middle)


def _grid_axes(axes: Axes, downs: Sequence[Any], acrosses: Sequence[Any]) -> None:
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlim(0, len(acrosses))
    axes.set_ylim(len(downs), 0)
    axes.set_xticks([i + 0.5 for i in range(len(acrosses))], [formats.value(v) for v in acrosses])
    axes.set_yticks([i + 0.5 for i in range(len(downs))], [formats.value(v) for v in downs])
    axes.tick_params(labelcolor=palette.INK.light, labelsize=12)


def _curves(group: Sequence[Cell], grid: Layout, highest: float, name: str, title: str) -> Panel:
    across, line = grid.across, grid.down
    plans = [cell.plan for cell in group]
    if len(axis_names.values(plans, across)) == 1 and len(axis_names.values(plans, line)) > 1:
        across, line = line, across
    xs, lines = axis_names.values(plans, across), axis_names.values(plans, line)
    with panel.canvas(margins=(58, 104, 30, 46)) as drawn:
        drawn.axes.set_xlim(-0.4, len(xs) - 0.6)
        panel.from_zero(drawn.axes, highest, panel.thousands)
        ends = []
        for index, value in enumerate(lines):
            shift = _DODGE * (index - (len(lines) - 1) / 2)
            placed = [(xs.index(c.plan.axes.get(across)) + shift, c) for c in group if c.plan.axes.get(line) == value]
            end = _curve(drawn.axes, sorted(placed, key=lambda pair: pair[0]), index)
            if end and len(lines) > 1:
                ends.append((*end, _line_name(line, value), panel.series_colour(index)))
        drawn.axes.set_xticks(range(len(xs)), [formats.value(value) for value in xs])
        panel.label(drawn, axis_names.title(across), "events/s")
        panel.end_labels(drawn.axes, ends)
        frame = _repeats_frame(group)
        rows = [
            [c.label, str(r.result.round), formats.count(r.result.throughput_events_per_s)]
            for c in group
            for r in c.counted
        ]
        return drawn.finish(name, title, frame, table(["partitions × consumers", "round", "events/s"], rows))


def _curve(axes: Axes, placed: Sequence[tuple[float, Cell]], index: int) -> tuple[float, float] | None:
    """Draw one line: means with intervals, repeats as small points, hollow where consumers are idle. Return its end."""
    colour = panel.series_colour(index).light
    measured = [(x, cell, cell.throughput) for x, cell in placed if cell.throughput]
    axes.plot([x for x, _, _ in measured], [i.mean for _, _, i in measured], color=colour, linewidth=1.6, zorder=3)
    for x, cell, interval in measured:
        if interval.low is not None and interval.high is not None:
            axes.plot([x, x], [interval.low, interval.high], color=colour, linewidth=1.1, zorder=2)
        values = [repeat.result.throughput_events_per_s or 0.0 for repeat in cell.counted]
        axes.plot([x + _BESIDE] * len(values), values, "o", color=colour, markersize=3.6, alpha=0.7, zorder=4, mew=0)
        face = palette.PAPER.light if cell.idle_consumers else colour
        axes.plot([x], [interval.mean], panel.marker(index), color=colour, mfc=face, mew=1.4, markersize=6.5, zorder=5)
    return (measured[-1][0], measured[-1][2].mean) if measured else None


def _line_name(axis: str, value: Any) -> str:
    if axis == axis_names.PARTITIONS:
        return formats.plural(value, "partition")
    if axis == axis_names.CONSUMERS:
        return formats.plural(value, "consumer")
    return axis_names.words(axis, value)[:_NAME_LIMIT]


def _row(cell: Cell, grid: Layout) -> list[str]:
    interval = cell.throughput
    values = [formats.value(cell.plan.axes.get(name)) for name in (grid.down, grid.across)]
    return [
        *values,
        formats.count(interval.mean if interval else None),
        span(interval),
        str(len(cell.counted)),
        str(cell.idle_consumers),
    ]


def _means_frame(group: Sequence[Cell]) -> pd.DataFrame:
    rows = []
    for cell in group:
        interval = cell.throughput or Interval(0, float("nan"))
        rows.append(
            {
                "cell": cell.plan.id,
                "partitions": cell.plan.axes.get(axis_names.PARTITIONS),
                "consumers": cell.plan.axes.get(axis_names.CONSUMERS),
                "geometric_mean_events_per_s": interval.mean,
                "interval_low_events_per_s": interval.low,
                "interval_high_events_per_s": interval.high,
                "valid_repeats": len(cell.counted),
                "idle_consumers": cell.idle_consumers,
            }
        )
    return pd.DataFrame(rows)


def _repeats_frame(group: Sequence[Cell]) -> pd.DataFrame:
    columns = ["cell", "partitions", "consumers", "round", "attempt", "throughput_events_per_s"]
    rows = [
        (
            cell.plan.id,
            cell.plan.axes.get(axis_names.PARTITIONS),
            cell.plan.axes.get(axis_names.CONSUMERS),
            repeat.result.round,
            repeat.result.attempt,
            repeat.result.throughput_events_per_s,
        )
        for cell in group
        for repeat in cell.counted
    ]
    return pd.DataFrame(rows, columns=columns)

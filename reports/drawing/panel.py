"""What all figures share: a panel with its data, axes drawn plainly, labels at the ends of lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from bundle.reading import Repeat
from reports import kinds
from reports.drawing import palette, svg
from reports.tables import Table

WIDTH, HEIGHT = 460, 300
ROOM_ABOVE = 1.08
"""An axis from zero ends at this many times what it must show."""
_UNITS_PER_INCH = 72
_ROUND_STEPS = (1, 2, 2.5, 5, 10)
_MOST_ROUNDS = 10
"""Named one by one beside a small figure."""
_LABEL_GAP = 0.062


@dataclass(frozen=True)
class Panel:
    """One figure: ``name`` is that of its files, ``data`` its CSV in full, ``table`` the same for reading."""

    name: str
    title: str
    drawing: svg.Drawing
    data: pd.DataFrame
    table: Table


@dataclass(frozen=True)
class Canvas:
    """A figure under way, with its one pair of axes; ``marks`` stand over it, where they are many.

    matplotlib takes a millisecond for a text or a bar; one that is simply written costs next to nothing.
    """

    figure: Figure
    axes: Axes
    marks: list[svg.Mark] = field(default_factory=list)

    def write(self, x: float, y: float, words: str, colour: palette.Colour = palette.INK, **look: Any) -> None:
        """Write words at a place in pixels from the lower left corner; ``look`` as of :class:`svg.Text`."""
        self.marks.append(svg.Text(x, y, words, colour, **look))

    def bar(self, start: float, end: float, place: float, thickness: float, colour: palette.Colour) -> None:
        """Draw a level bar from ``start`` to ``end`` about ``place``, all in the axes' data; their limits are final."""
        if start != end:
            corners = (start, place - thickness / 2), (end, place + thickness / 2)
            self.marks.append(svg.Box(self.to_pixels(*corners[0]), self.to_pixels(*corners[1]), colour))

    def to_pixels(self, x: float, y: float) -> tuple[float, float]:
        """Turn a place in the axes' data, whose limits are final, into pixels."""
        across, up = self.axes.transData.transform((x, y))
        return float(across), float(up)

    def finish(self, name: str, title: str, data: pd.DataFrame, table: Table) -> Panel:
        """Render; in ``name``, what may not stand in the name of a file becomes a dash."""
        return Frame(svg.template(self.figure), self.axes).finish(name, title, data, table, self.marks)


@dataclass(frozen=True)
class Frame:
    """A figure drawn once, for many panels that differ in their marks: axes cost far more than a few lines."""

    template: svg.Template
    axes: Axes

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn points of the axes' data, shape (n, 2), into the pixels that marks want."""
        pixels: NDArray[np.float64] = self.axes.transData.transform(points)
        return pixels

    def finish(self, name: str, title: str, data: pd.DataFrame, table: Table, marks: Sequence[svg.Mark] = ()) -> Panel:
        """Draw ``marks`` over it; in ``name``, what may not stand in the name of a file becomes a dash."""
        name = re.sub(r"[^\w.-]+", "-", name)
        return Panel(name, title, self.template.fill(name, title, marks), data, table)


@contextmanager
def canvas(
    *, width: float = WIDTH, height: float = HEIGHT, margins: tuple[float, float, float, float] = (58, 84, 16, 44)
) -> Iterator[Canvas]:
    """Return axes in a figure of ``width`` by ``height`` CSS pixels; ``margins``: left, right, top, bottom."""
    left, right, top, bottom = margins
    with mpl.rc_context(svg.settings()):
        figure = Figure(figsize=(width / _UNITS_PER_INCH, height / _UNITS_PER_INCH), dpi=_UNITS_PER_INCH)
        FigureCanvasAgg(figure)
        box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
        axes = figure.add_axes(box)
        plain(axes)
        yield Canvas(figure, axes)


def plain(axes: Axes) -> None:
    """Draw the axes in the page's manner: a fine grid behind, no box, muted labels."""
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(palette.MUTED.light)
    axes.spines["bottom"].set_linewidth(0.8)
    axes.tick_params(colors=palette.MUTED.light, labelcolor=palette.MUTED.light, length=3, width=0.8, labelsize=11)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, axis="y", color=palette.RULE.light, linewidth=0.8)
    axes.set_axisbelow(True)


def label(drawn: Canvas, x: str = "", y: str = "") -> None:
    """Name the axes; the name of y stands upright above them, where it can be read."""
    if x:
        drawn.axes.set_xlabel(x, color=palette.MUTED.light, fontsize=11, labelpad=6)
    if y:
        height = drawn.figure.get_figheight() * _UNITS_PER_INCH
        above = drawn.axes.get_position().y1 + 9 / height
        drawn.figure.text(0.005, above, y, color=palette.MUTED.light, fontsize=11, va="bottom")


def from_zero(axes: Axes, highest: float, form: Callable[[float], str], *, axis: str = "y") -> None:
    """Let an axis run from 0 to a little over ``highest``, its ticks written by ``form``."""
    (axes.set_ylim if axis == "y" else axes.set_xlim)(0, highest * ROOM_ABOVE or 1)
    chosen = axes.yaxis if axis == "y" else axes.xaxis
    chosen.set_major_locator(MaxNLocator(5, steps=_ROUND_STEPS))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: form(value)))


def rows(drawn: Canvas, labels: Sequence[str], numbers: Sequence[str]) -> None:
    """Let y be the number of a row, the first on top, with its label on the left and its number on the right.

    The limits of x have to be final. Only the grid of x is drawn.
    """
    axes = drawn.axes
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=palette.RULE.light, linewidth=0.8)
    left, right = axes.get_xlim()
    for place, (label_, number) in enumerate(zip(labels, numbers, strict=True)):
        x, y = drawn.to_pixels(left, place)
        drawn.write(x - 6, y, label_, at_its_end=True)
        drawn.write(drawn.to_pixels(right, place)[0] + 6, y, number)


def rounds(repeats: Sequence[Repeat], width: float, height: float) -> Iterator[svg.Mark]:
    """Write the rounds (of a capacity cell: the probes) into the upper right corner, each in its line's colour."""
    x, y = width - 10.0, height - 12.0
    name = kinds.named(repeats[0].result.kind).repeat if repeats else "round"
    if len(repeats) > _MOST_ROUNDS:
        yield svg.Text(x, y, f"{len(repeats)} {name}s", palette.MUTED, at_its_end=True)
        return
    for index, repeat in reversed(list(enumerate(repeats))):
        number = str(repeat.result.round)
        yield svg.Text(x, y, number, series_colour(index), bold=True, at_its_end=True)
        x -= 8 + 7 * len(number)
    yield svg.Text(x, y, name, palette.MUTED, at_its_end=True)


def end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, palette.Colour]]) -> None:
    """Write each line's name right of its end (x, y in data), moved apart where they would overlap."""
    if not ends:
        return
    to_axes = axes.transAxes.inverted()
    places = [tuple(to_axes.transform(axes.transData.transform((x, y)))) for x, y, _, _ in ends]
    heights = spread([place[1] for place in places], _LABEL_GAP * HEIGHT / _height(axes) * 0.8)
    for (x, y), height, (_, _, text, colour) in zip(places, heights, ends, strict=True):
        axes.plot(
            [min(x + 0.012, 1.0), 1.035],
            [y, height],
            transform=axes.transAxes,
            color=colour.light,
            linewidth=0.7,
            clip_on=False,
        )
        axes.text(1.045, height, text, transform=axes.transAxes, color=palette.INK.light, fontsize=11, va="center")


def _height(axes: Axes) -> float:
    return float(axes.get_window_extent().height)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move places apart until neighbours are ``gap`` from each other, keeping their order and, about, their middle."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [places[index] for index in order]
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + gap)
    middle = sum(places) / len(places)
    shift = middle - sum(moved) / len(moved)
    result = [0.0] * len(places)
    for index, place in zip(order, moved, strict=True):
        result[index] = place + shift
    return result


def thousands(value: float) -> str:
    """A tick: ``30k``, ``2.5k``, ``500``."""
    if abs(value) >= 1000:  # noqa: PLR2004
        return f"{value / 1000:g}k"
    return f"{value:g}"


def series_colour(index: int) -> palette.Colour:
    """Return the colour of the line with this number; they come round again after the last."""
    return palette.SERIES[index % len(palette.SERIES)]


def marker(index: int) -> str:
    """Return the marker of the line with this number."""
    return palette.MARKERS[index % len(palette.MARKERS)]

"""Turns a matplotlib figure into SVG that follows the reader's light or dark scheme.

Colours become classes (``f-NAME`` fills, ``s-NAME`` strokes) over a plain light colour, so that a
viewer without style sheets shows the light form. Text stays text, in the page's own font.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.drawing import palette

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_BY_LIGHT = {colour.light: colour.name for colour in palette.ALL}
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_FONT_SIZE = re.compile(r"([\d.]+)px")
_BELOW_MIDDLE = 0.36
"""Of the size of letters: how far below their middle they stand."""
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tidemark",
    "path.simplify": True,
    "font.family": "DejaVu Sans",
    "font.size": 11,
}


@dataclass(frozen=True)
class Drawing:
    """A figure: ``inline`` to be set into HTML, ``file`` a document of its own, ``width`` in its own pixels."""

    inline: str
    file: str
    width: float


def settings() -> dict[Any, Any]:
    """Return the matplotlib settings under which figures must be drawn."""
    return dict(_SETTINGS)


@dataclass(frozen=True)
class Line:
    """A line through ``points``: pixels from the lower left corner, shape (n, 2)."""

    points: NDArray[np.float64]
    colour: palette.Colour
    width: float
    opacity: float = 1.0


@dataclass(frozen=True)
class Text:
    """Words that begin (or end) at (x, y), y in their middle: pixels from the lower left corner."""

    x: float
    y: float
    words: str
    colour: palette.Colour
    size: float = 11
    bold: bool = False
    at_its_end: bool = False


@dataclass(frozen=True)
class Box:
    """A filled box between two opposite corners: pixels from the lower left corner."""

    first: tuple[float, float]
    second: tuple[float, float]
    colour: palette.Colour


Mark = Line | Text | Box


@dataclass(frozen=True)
class Template:
    """A figure that was drawn once, to be filled with the marks of many."""

    root: ET.Element
    width: float
    height: float

    def fill(self, name: str, title: str, marks: Iterable[Mark] = ()) -> Drawing:
        """Return the figure with ``marks`` over it; ``name`` prefixes its ids, ``title`` is read to the blind."""
        root = copy.deepcopy(self.root)
        for element in root.iter():
            _rename(element, name)
        root.attrib.clear()
        root.attrib.update(
            {
                "viewBox": f"0 0 {self.width:g} {self.height:g}",
                "role": "img",
                "aria-label": f"{title}: a chart; its numbers are in the table under it",
                "class": "drawing",
                "stroke-linejoin": "round",
                "stroke-linecap": "butt",
            }
        )
        root.extend(_mark(mark, self.height) for mark in marks)
        return Drawing(_inline(root), _file(root, title, self.width, self.height), self.width)


def template(figure: Figure) -> Template:
    """Draw ``figure`` once, for many that differ in their marks.

    ValueError if a colour is used that is not of the palette: it would not follow the scheme.
    """
    target = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(_SETTINGS):
        figure.savefig(target, format="svg", metadata=nothing, transparent=True)
    root = ET.fromstring(target.getvalue())  # noqa: S314 - our own output
    _tidy(root)
    for element in root.iter():
        _restyle(element)
    width, height = (float(part) for part in root.get("viewBox", "0 0 1 1").split()[2:])
    return Template(root, width, height)


def _mark(mark: Mark, height: float) -> ET.Element:
    """Make the element of a mark; in SVG y runs downwards."""
    colour = mark.colour
    if isinstance(mark, Box):
        (left, right), (low, high) = (sorted(pair) for pair in zip(mark.first, mark.second, strict=True))
        place = {"x": left, "y": height - high, "width": right - left, "height": high - low}
        look = {"class": f"f-{colour.name}", "fill": colour.light}
        return ET.Element("rect", {**{name: f"{value:.2f}" for name, value in place.items()}, **look})
    if isinstance(mark, Text):
        look = {"class": f"f-{colour.name}", "fill": colour.light, "font-size": f"{mark.size:g}"}
        look |= {"font-weight": "600"} if mark.bold else {}
        look |= {"text-anchor": "end"} if mark.at_its_end else {}
        baseline = height - mark.y + _BELOW_MIDDLE * mark.size
        element = ET.Element("text", {"x": f"{mark.x:.2f}", "y": f"{baseline:.2f}", **look})
        element.text = mark.words
        return element
    path = " ".join(f"{'L' if index else 'M'} {x:.2f} {height - y:.2f}" for index, (x, y) in enumerate(mark.points))
    look = {"class": f"s-{colour.name}", "stroke": colour.light, "stroke-width": f"{mark.width:g}", "fill": "none"}
    look |= {"opacity": f"{mark.opacity:g}"} if mark.opacity < 1 else {}
    return ET.Element("path", {"d": path, **look})


def style_sheet() -> str:
    """Return the rules for the classes, by custom properties that the page (or the file) defines."""
    rules = [f".f-{c.name}{{fill:var(--{c.name})}}.s-{c.name}{{stroke:var(--{c.name})}}" for c in palette.ALL]
    return "".join(rules)


def variables(*, dark: bool) -> str:
    """Return the custom properties of one scheme."""
    return "".join(f"--{c.name}:{c.dark if dark else c.light};" for c in palette.ALL)


def _tidy(root: ET.Element) -> None:
    """Drop metadata and matplotlib's style sheet: its ``*`` rule would hit the whole page."""
    for parent in list(root.iter()):
        for child in list(parent):
            tag = child.tag.rpartition("}")[2]
            if tag in {"metadata", "style"} or (tag == "defs" and all("style" in inner.tag for inner in child)):
                parent.remove(child)


def _restyle(element: ET.Element) -> None:
    """Turn the style attribute into attributes and classes."""
    element.tag = element.tag.rpartition("}")[2]
    classes = []
    for part in element.attrib.pop("style", "").split(";"):
        key, _, given = (piece.strip() for piece in part.partition(":"))
        if key in {"fill", "stroke"} and given.startswith("#"):
            if given not in _BY_LIGHT:
                raise ValueError(f"colour {given} is not in the palette")
            classes.append(f"{key[0]}-{_BY_LIGHT[given]}")
            element.set(key, given)
        elif key == "font":
            size = _FONT_SIZE.search(given)
            element.set("font-size", size.group(1) if size else "11")
            if "bold" in given or re.search(r"\b[67]00\b", given):
                element.set("font-weight", "600")
        elif key and given:
            element.set(key, given)
    if classes:
        element.set("class", " ".join(classes))
    _shorten_numbers(element)


def _shorten_numbers(element: ET.Element) -> None:
    for key in ("d", "x", "y", "width", "height", "transform", "points"):
        if key in element.attrib:
            element.set(
                key, _NUMBER.sub(lambda m: f"{float(m.group()):.2f}".rstrip("0").rstrip("."), element.attrib[key])
            )
    if "d" in element.attrib:
        element.set("d", " ".join(element.attrib["d"].split()))


def _rename(element: ET.Element, name: str) -> None:
    """Prefix ids and the references to them; ids that matplotlib gives to every group are dropped."""
    reference = element.attrib.pop(f"{{{_XLINK}}}href", None)
    if reference is not None:
        element.set("href", f"#{name}-{reference.removeprefix('#')}")
    if element.tag == "g":
        element.attrib.pop("id", None)
    elif "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    if "clip-path" in element.attrib:
        element.set("clip-path", re.sub(r"url\(#(.*?)\)", rf"url(#{name}-\1)", element.attrib["clip-path"]))


def _inline(root: ET.Element) -> str:
    return _shorter(ET.tostring(root, encoding="unicode"))


def _file(root: ET.Element, title: str, width: float, height: float) -> str:
    """Make a document: its own style sheet, its size, and a ground, for it stands on no page."""
    alone = ET.Element("svg", dict(root.attrib))
    alone.attrib.pop("class")
    alone.attrib.update({"xmlns": _SVG, "width": f"{width:g}", "height": f"{height:g}", "font-family": FONT})
    alone.set("aria-label", title)
    ET.SubElement(alone, "title").text = title
    ET.SubElement(alone, "style").text = (
        f":root{{{variables(dark=False)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{variables(dark=True)}}}}}{style_sheet()}"
    )
    ground = {"class": "f-paper", "fill": palette.PAPER.light, "width": "100%", "height": "100%"}
    ET.SubElement(alone, "rect", ground)
    alone.extend(list(root))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + _shorter(ET.tostring(alone, encoding="unicode")) + "\n"


def _shorter(text: str) -> str:
    return re.sub(r">\s+<", "><", text)

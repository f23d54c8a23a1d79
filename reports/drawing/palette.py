"""The colours of page and figures, each with a light and a dark form, different for the colour-blind too.

matplotlib draws with the light form; ``svg`` turns each into a class that the page's style sheet
(or the figure's own) chooses the colour of the reader's scheme.
"""

from __future__ import annotations

from msgspec import Struct


class Colour(Struct, frozen=True):
    """One colour: ``light`` is unique among all, for it is what identifies the colour in a drawn figure."""

    name: str
    light: str
    dark: str


def _mix(low: str, high: str, share: float) -> str:
    """Mix two colours, channel by channel."""
    pairs = [(int(low[at : at + 2], 16), int(high[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


INK = Colour("ink", "#1b2229", "#e3e8ec")
MUTED = Colour("muted", "#5b6772", "#9aa7b2")
RULE = Colour("rule", "#dfe4e8", "#2c353d")
PAPER = Colour("paper", "#fefefe", "#171c21")
ALARM = Colour("alarm", "#b3261e", "#ff8a80")

# After Okabe and Ito; lighter in the dark, where thin lines need it.
SERIES = (
    Colour("s1", "#0072b2", "#4aa9e6"),
    Colour("s2", "#d55e00", "#ff8a45"),
    Colour("s3", "#009e73", "#35c79b"),
    Colour("s4", "#cc79a7", "#e39cc4"),
    Colour("s5", "#e69f00", "#f3be4a"),
    Colour("s6", "#56b4e9", "#9bd6fa"),
    Colour("s7", "#6e6259", "#b8aaa0"),
)
MARKERS = ("o", "s", "D", "^", "v", "P", "X")

HEAT_STEPS = 9
_HEAT_LIGHT = ("#e6f1f6", "#4593b9", "#0b4a6b")
_HEAT_DARK = ("#1d3440", "#23779c", "#86d4f4")


def _ramp(stops: tuple[str, str, str], share: float) -> str:
    """Return the colour at ``share`` of a ramp with one stop in its middle."""
    low, middle, high = stops
    return _mix(low, middle, share * 2) if share <= 0.5 else _mix(middle, high, share * 2 - 1)  # noqa: PLR2004 - half


HEAT = tuple(
    Colour(f"h{step}", _ramp(_HEAT_LIGHT, step / (HEAT_STEPS - 1)), _ramp(_HEAT_DARK, step / (HEAT_STEPS - 1)))
    for step in range(HEAT_STEPS)
)
HEAT_TEXT_FROM_STEP = 5
"""Text is ``HEAT_TEXT_LOW`` on the steps below this one and ``HEAT_TEXT_HIGH`` from it on: readable on each."""
HEAT_TEXT_LOW = Colour("tlow", "#16232c", "#f2f8fa")
HEAT_TEXT_HIGH = Colour("thigh", "#fdfdff", "#0b1a22")

ALL = (INK, MUTED, RULE, PAPER, ALARM, *SERIES, *HEAT, HEAT_TEXT_LOW, HEAT_TEXT_HIGH)
"""Every colour that a figure may use."""

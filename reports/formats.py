"""Numbers as text, the same everywhere: thousands with commas, three significant digits, units after them."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

NOTHING = "–"
_EXACT_FROM = 1000
_LEAST_DRIFT = 0.001
_LEAST_PROBABILITY = 0.0001
_GIB = 2**30
_MIB = 2**20
_BY_MODULE = "python -m bench "


def count(value: float | None) -> str:
    """A whole number: ``1,234,567``."""
    return NOTHING if value is None else f"{value:,.0f}"


def rounded(value: float | None) -> str:
    """Three significant digits, no exponent: ``36,400``, ``12.3``, ``0.0123``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def milliseconds(value: float | None) -> str:
    """Three significant digits below a second, whole milliseconds above."""
    return count(value) if value is not None and abs(value) >= _EXACT_FROM else rounded(value)


def drift(value: float | None) -> str:
    """A clock's drift in ms/s: ``0.031``; what is below a thousandth is shown as that."""
    if value is None:
        return NOTHING
    return f"< {_LEAST_DRIFT:g}" if 0 < abs(value) < _LEAST_DRIFT else f"{value:.3f}"


def cores(value: float | None) -> str:
    """Cores of CPU: ``1.32``."""
    return NOTHING if value is None else f"{value:.2f}"


def share(value: float | None) -> str:
    """A share as per cent: ``99.8%``."""
    return NOTHING if value is None else f"{value * 100:.1f}%"


def probability(value: float | None) -> str:
    """A p: two significant digits, ``< 0.0001`` below that."""
    if value is None:
        return NOTHING
    return "< 0.0001" if value < _LEAST_PROBABILITY else f"{value:.2g}"


def size(value: float | None) -> str:
    """Bytes as MiB or GiB."""
    if value is None:
        return NOTHING
    return f"{value / _GIB:,.1f} GiB" if value >= _GIB else f"{value / _MIB:,.0f} MiB"


def moment(text: str | None) -> str:
    """An ISO time as ``2026-11-22 16:00:00 UTC``; as it came where it cannot be read."""
    if not text:
        return NOTHING
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return text


def plural(number: int, noun: str, nouns: str = "") -> str:
    """``1 repeat``, ``3 repeats``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def command(text: str) -> str:
    """A command in the form that runs from a clone; older runs have ``python -m bench``, which needs ``.venv``."""
    return f"./tidemark bench {text.removeprefix(_BY_MODULE)}" if text.startswith(_BY_MODULE) else text


def unbroken(label: str) -> str:
    """The label, not to be broken between lines."""
    return label.replace(" ", "\u00a0")


def value(given: Any) -> str:
    """An axis' or a setting's value."""
    if given is None:
        return NOTHING
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, int | float):
        return count(given) if float(given).is_integer() else f"{given:g}"
    if isinstance(given, dict):
        return ", ".join(f"{key} {value(inner)}" for key, inner in given.items())
    if isinstance(given, list | tuple):
        pairs = all(isinstance(item, list | tuple) for item in given)
        return ", ".join(" ".join(value(part) for part in item) if pairs else value(item) for item in given)
    return str(given)

"""How a cell is named, and its axes as they are written down: both depend on the axes that its kind has."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from bench import kinds
from bench.cells.axes import AXES, STACK_AXES
from bench.cells.cellspec import CellSpec
from bench.cells.objective import DEFAULT_AT_LEAST_EVENTS_PER_S, OfferedLoad
from pipeline.local.stackspec import as_text

# Characters of an id that an event mix or a setting of a server may take; a longer one becomes a checksum.
_LONGEST_MIX = 40
_LONGEST_SETTING = 60
_ALWAYS = ("partitions", "consumers")


def axes_of(cell: CellSpec) -> dict[str, Any]:
    """Return every shared axis and its value as plain JSON values, and those that its kind adds.

    None for one that means nothing to this kind or here.
    """
    kind = kinds.named(cell.kind)
    shown = [name for name in kinds.axes() if name in AXES or kind.has(name)]
    plain = {name: _plain(getattr(cell, name)) if kind.has(name) else None for name in shown}
    return plain | cell.server_settings


def cell_id(cell: CellSpec) -> str:
    """Name ``cell``: kind, partitions, consumers, and each other axis whose value is not the default.

    It depends on the cell alone, so that the same cell has the same name in every matrix.
    """
    kind = kinds.named(cell.kind)
    default = kind.default()
    parts = [cell.kind, f"p{cell.partitions}", f"c{cell.consumers}"]
    for name, axis in kinds.axes().items():
        if name in _ALWAYS or not kind.has(name):
            continue
        value = getattr(cell, name)
        if value is None and name in STACK_AXES:
            continue  # the user's own servers
        if value != getattr(default, name):
            parts.append(axis.short + _in_words(value))
    parts += [_short(f"{name}{as_text(value)}") for name, value in cell.server_settings.items()]
    return "-".join(parts)


def _in_words(value: Any) -> str:
    """A value as a part of a file name."""
    if isinstance(value, OfferedLoad):
        least = "" if value.at_least == DEFAULT_AT_LEAST_EVENTS_PER_S else f"min{value.at_least:.10g}"
        return f"{100 * value.share_of_drain:.10g}pct{least}"
    if isinstance(value, tuple):
        mix = ".".join(f"{event_type}{weight:.10g}" for event_type, weight in value)
        return _short(mix, _LONGEST_MIX)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _short(text: str, most: int = _LONGEST_SETTING) -> str:
    """Return ``text``, or a checksum of it where it is too long or cannot be a part of a file name."""
    fits = len(text) <= most and re.fullmatch(r"[A-Za-z0-9._+-]+", text)
    return text if fits else hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, tuple) else msgspec.to_builtins(value)

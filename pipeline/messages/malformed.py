"""Find the fault in JSON that only lenient readers accept: the field that holds NaN, an infinity or a lone surrogate.

Some client libraries write such JSON: NaN and infinities (Python), half a surrogate pair (text that was cut in the
middle of an emoji).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

_MAX_SHOWN = 100


class _Constant(str):
    """NaN, Infinity or -Infinity, as it was written."""

    __slots__ = ()


_decode = json.JSONDecoder(parse_constant=_Constant).decode


def field_at_fault(data: bytes) -> str | None:
    """Return ``field: what is wrong`` for the first such value in ``data``; None if there is none, or no JSON at all.

    The time is linear in the size of ``data``, which the caller bounds.
    """
    try:
        value = _decode(data.decode())
    except (ValueError, RecursionError):
        return None
    return next(_faults(value), None) if isinstance(value, dict) else None


def _faults(value: Any) -> Iterator[str]:
    open_: list[tuple[str, Any]] = [("", value)]  # no recursion: the decoder allows more levels than Python
    while open_:
        path, each = open_.pop()
        if each.__class__ is dict:
            if any(map(_is_cut, each)):
                yield f"{path or 'this'}: a name holds a lone surrogate; send whole characters"
            inner: Iterable[tuple[Any, Any]] = each.items()
        else:
            inner = enumerate(each)
        for name, found in inner:
            kind = found.__class__
            if kind is dict or kind is list:
                open_.append((_below(path, name), found))
            elif kind is _Constant:
                yield f"{_below(path, name)}: {found} is not a number in JSON; leave it out or send null"
            elif kind is str and _is_cut(found):
                yield f"{_below(path, name)}: a lone surrogate is not text; send whole characters"


def _below(path: str, name: str | int) -> str:
    """The path of a value in another one; of bounded length, or deep nesting would take quadratic time."""
    return f"{path[:_MAX_SHOWN]}.{str(name)[:_MAX_SHOWN]}".removeprefix(".")


def _is_cut(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False

"""Many consecutive events as one text, written by numpy: what all of them share at once, the rest column by column.

An event is its beginning (who did what, from the table) and a tail of one width in all events of a strip:
identity, timestamp and id. Of a tail all but the moment follows from the identity, so that a strip can be made
long before it is known when its events are due; a request's moment is written when the request is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic import identity

# An event's tail: identity, and then these.
_TO_TIMESTAMP = b'},"timestamp":"'
_TO_ID = b'","event_id":"'
_END = b'"},'
_STAMP_BYTES = len(b"2025-11-26T12:00:00.000Z")
# The id is a UUIDv7: 8-4-4-4-12 digits, of which the 15 with the time and the version are the same in all events of
# a moment. Of the others the identity's lowest 12 bits stand twice, as rand_a and at the end; what is between them
# is the same in 4,096 events.
_ID_BYTES = 36
_ID_HEAD_BYTES = len(b"01234567-89ab-7")
_RAND_A_AT, _HIGH_AT, _LOW_AT = 15, 18, 33
_LOW_BITS = 12
_LOW = (1 << _LOW_BITS) - 1
_LOW_48 = (1 << 48) - 1
# The identity's lowest four decimal digits come from a table; what is before them is the same in 10,000 events.
_DECIMALS = 10_000
_DECIMAL_BYTES = 4
_HEX = np.array([b"%03x" % each for each in range(_LOW + 1)], dtype="S3").view("V3")
_DECIMAL = np.array([b"%04d" % each for each in range(_DECIMALS)], dtype="S4").view("V4")

_MOMENT_BYTES = _STAMP_BYTES + len(_TO_ID) + _ID_HEAD_BYTES
# Where things stand, counted from an event's end.
_ID_FROM_END = _ID_BYTES + len(_END)
_MOMENT_FROM_END = _ID_FROM_END + len(_TO_ID) + _STAMP_BYTES
_IDENTITY_FROM_END = _MOMENT_FROM_END + len(_TO_TIMESTAMP)  # where it ends


def tail_bytes(digits: int) -> int:
    """Return the length of an event from its identity, of ``digits`` decimal digits, to its end."""
    return digits + _IDENTITY_FROM_END - 1  # without the comma


def alike(packed: int, count: int) -> int:
    """Return how many of ``count`` events from the number ``packed`` on have as many decimal digits as the first."""
    return min(count, int(10 ** len(str(packed))) - packed)


class Strip:
    """Events from sequence ``first`` up to, and without, ``end``, all but for their moment."""

    __slots__ = ("_ends", "_moments", "_moments_at", "_text", "_view", "end", "first")

    def __init__(self, beginnings: list[bytes], lengths: NDArray[np.int64], first: int, packed: int) -> None:
        """Write the events with these ``beginnings``, of these ``lengths`` in bytes; the first is number ``packed``.

        All of their numbers have as many digits (:func:`alike`).
        """
        digits = len(str(packed))
        tail = bytearray(digits) + _TO_TIMESTAMP + bytes(_STAMP_BYTES) + _TO_ID + bytes(_ID_BYTES) + _END
        self.first, self.end = first, first + len(beginnings)
        self._text = tail.join((*beginnings, b""))
        self._view = memoryview(self._text)
        ends = np.cumsum(lengths + len(tail))
        self._ends: list[int] = [0, *ends.tolist()]
        self._moments_at = ends - _MOMENT_FROM_END
        self._moments = _fields(self._text, _MOMENT_BYTES)
        _write_identities(self._text, ends - _IDENTITY_FROM_END, packed, digits)
        _write_ids(self._text, ends - _ID_FROM_END, packed)

    def dated(self, first: int, end: int, unix_ms: int, stamp: bytes) -> memoryview:
        """Return events from ``first`` up to ``end``, due at ``unix_ms``, with commas between; ``stamp``: as text.

        What is given is changed when the same events are dated again.
        """
        a, b = first - self.first, end - self.first
        moment = stamp + _TO_ID + _id_head(unix_ms)
        self._moments[self._moments_at[a:b]] = np.frombuffer(moment, dtype=self._moments.dtype)
        return self._view[self._ends[a] : self._ends[b] - 1]

    def each(self, unix_ms: int, stamp: bytes) -> list[bytes]:
        """Return the events one by one, all due at ``unix_ms``."""
        text = bytes(self.dated(self.first, self.end, unix_ms, stamp))
        return [text[a : b - 1] for a, b in zip(self._ends, self._ends[1:], strict=False)]


def _write_identities(text: bytearray, ends: NDArray[np.int64], packed: int, digits: int) -> None:
    """Write the numbers from ``packed`` on in decimal, so that they end at ``ends``."""
    count = len(ends)
    low_bytes = min(digits, _DECIMAL_BYTES)
    lows = _DECIMAL if low_bytes == _DECIMAL_BYTES else _short_decimals(low_bytes)
    _fields(text, low_bytes)[ends - low_bytes] = lows[_from(packed % _DECIMALS, count, _DECIMALS)]
    if digits > _DECIMAL_BYTES:
        high = _fields(text, digits - _DECIMAL_BYTES)
        at = ends - digits
        for a, b in _runs(packed, count, _DECIMALS):
            high[at[a:b]] = _field(b"%d" % ((packed + a) // _DECIMALS))


def _write_ids(text: bytearray, at: NDArray[np.int64], packed: int) -> None:
    """Write what the ids of the numbers from ``packed`` on have behind their time and version; ids begin ``at``."""
    low = _HEX[_from(packed & _LOW, len(at), _LOW + 1)]
    fields = _fields(text, low.itemsize)
    fields[at + _RAND_A_AT] = low
    fields[at + _LOW_AT] = low
    variant = identity.id_low(packed) >> 48
    high = _fields(text, _LOW_AT - _HIGH_AT)
    high_at = at + _HIGH_AT
    for a, b in _runs(packed, len(at), _LOW + 1):
        high[high_at[a:b]] = _field(b"-%04x-%09x" % (variant, ((packed + a) & _LOW_48) >> _LOW_BITS))


def _id_head(unix_ms: int) -> bytes:
    """The first 15 digits of a UUIDv7: its 48 bits of time, and the version."""
    head = b"%012x" % (unix_ms & _LOW_48)
    return head[:8] + b"-" + head[8:] + b"-7"


def _runs(first: int, count: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut ``count`` numbers from ``first`` on at the multiples of ``step``; places from 0."""
    a = 0
    while a < count:
        b = min(count, a + step - (first + a) % step)
        yield a, b
        a = b


def _from(first: int, count: int, end: int) -> NDArray[np.int64]:
    """``count`` numbers from ``first`` on, beginning anew at ``end``."""
    return np.arange(first, first + count) % end


def _fields(text: bytearray, width: int) -> NDArray[Any]:
    """``text`` as fields of ``width`` bytes that begin at every one of its bytes."""
    return np.ndarray((max(0, len(text) - width + 1),), dtype=f"V{width}", buffer=text, strides=(1,))


def _field(value: bytes) -> NDArray[Any]:
    return np.frombuffer(value, dtype=f"V{len(value)}")


def _short_decimals(digits: int) -> NDArray[Any]:
    return np.array([b"%d" % each for each in range(10**digits)], dtype=f"S{digits}").view(f"V{digits}")

"""The identities that many BSON documents carry, read from all of them at once.

Nearly all documents of a repeat have one layout, the order of their elements included. Such are read
with numpy, element by element over all documents together; the caller decodes the others one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.evidence.stored import RawDocuments

IDENTITY_NAME = b"\x12tidemark\x00"  # the type, a 64-bit integer, and the name
_INT32, _INT64 = 4, 8
_MOST_READ_BYTES = 64  # at once: no name and no value that is read is longer
_PACKED_END = 1 << 62
_VARIANT = np.uint64(0b10 << 62)
# The layout up to the identity: its elements in order. A string element is one name, its length and its text.
_ID = (b"\x07_id\x00", 12)
_STRINGS = (b"\x02event_type\x00", b"\x02user_id\x00")
_PROPS = (b"\x03props\x00", _INT32)
_OPTIONAL_STRINGS = (b"\x02url\x00", b"\x02filling\x00")


def identities(batch: RawDocuments) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Read ``props.tidemark`` of every document of ``batch``.

    Given are, in the order of the documents, the low 64 bits of the id that the identity stands for (0,
    which is no event's, where it is out of range), and whether the document has the layout at all: where
    it has not, the first value means nothing.
    """
    walk = _Walk(batch)
    walk.expect(*_ID)
    for name in _STRINGS:
        walk.skip_string(name, required=True)
    walk.expect(*_PROPS)
    for name in _OPTIONAL_STRINGS:
        walk.skip_string(name, required=False)
    walk.expect(IDENTITY_NAME, 0)
    packed = walk.values("<i8")
    in_range = (packed >= 0) & (packed < _PACKED_END)
    return np.where(in_range, packed.astype(np.uint64) | _VARIANT, np.uint64(0)), walk.fits


def at_every_byte(buffer: bytes | bytearray, kind: DTypeLike) -> NDArray[Any]:
    """Return ``buffer`` as values of ``kind`` that begin at every one of its bytes: index it by byte."""
    count = max(0, len(buffer) - np.dtype(kind).itemsize + 1)
    return np.ndarray((count,), dtype=kind, buffer=buffer, strides=(1,))


class _Walk:
    """A place in each document, moved on element by element; ``fits``: it was as expected so far."""

    def __init__(self, batch: RawDocuments) -> None:
        self._buffer = batch.documents + bytes(_MOST_READ_BYTES)
        self._at = batch.starts[:-1] + _INT32  # behind the document's own length
        self._ends = batch.starts[1:]
        self.fits = np.ones(len(self._at), dtype=bool)

    def expect(self, name: bytes, value_bytes: int) -> None:
        """Pass the element ``name`` (its type first), whose value has a fixed length, or go into it."""
        self.fits &= self._named(name)
        self._at = self._at + len(name) + value_bytes

    def skip_string(self, name: bytes, *, required: bool) -> None:
        """Pass the string element ``name`` where it is next."""
        there = self._named(name)
        if required:
            self.fits &= there
        length = self._read(self._at + len(name), "<i4")
        self._at = self._at + np.where(there, len(name) + _INT32 + length, 0)

    def values(self, kind: str) -> NDArray[np.int64]:
        """Return the values of ``kind`` that are next."""
        return self._read(self._at, kind)

    def _named(self, name: bytes) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = self._read(self._at, f"V{len(name)}") == np.void(name)
        return same

    def _read(self, at: NDArray[np.int64], kind: str) -> NDArray[Any]:
        """Read at ``at``; what would lie beyond its document fits no more, and is read where it does no harm."""
        inside = (at >= 0) & (at + np.dtype(kind).itemsize <= self._ends)
        self.fits &= inside
        return at_every_byte(self._buffer, kind)[np.where(inside, at, 0)]

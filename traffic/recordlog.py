"""Append-only logs of fixed-width records in checksummed blocks.

A process that may be killed at any moment appends; another one reads, at any time. A block is
``magic (4) | kind (2) | header length (2) | payload length (4) | crc32 (4) | header | payload``,
little-endian, the checksum over kind, lengths, header and payload. A block is written by one
``write``: a crash leaves at most one torn block, the last, and the reader leaves it out.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import CorruptLogError

_FRAME = struct.Struct("<4sHHII")
_CHECKED = struct.Struct("<HHI")
_MAGIC = b"TIDE"


class Block(NamedTuple):
    """One block as read: ``kind`` and ``header`` say what the records in ``payload`` are."""

    kind: int
    header: bytes
    payload: bytes


class RecordLogWriter:
    """Appends blocks to a file. Not thread-safe: one writer a file."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` for appending; raises OSError where that is not possible."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, kind: int, header: bytes, payload: bytes) -> None:
        """Write one block; it survives the death of this process once this returns."""
        crc = zlib.crc32(payload, zlib.crc32(header, zlib.crc32(_CHECKED.pack(kind, len(header), len(payload)))))
        block = _FRAME.pack(_MAGIC, kind, len(header), len(payload), crc) + header + payload
        written = os.write(self._descriptor, block)
        if written != len(block):
            raise OSError(f"wrote {written} of {len(block)} bytes of a block: is the disk full?")

    def close(self) -> None:
        """Close the file; appending afterwards raises OSError."""
        os.close(self._descriptor)


def read_blocks(path: Path) -> Iterator[Block]:
    """Return the whole blocks of ``path`` in the order written; a torn last one is left out.

    Raises:
        CorruptLogError: a block is there in its whole length, but damaged.
    """
    data = path.read_bytes()
    position = 0
    while position < len(data):
        frame_end = position + _FRAME.size
        if frame_end > len(data):
            return
        magic, kind, header_size, payload_size, crc = _FRAME.unpack_from(data, position)
        if magic != _MAGIC:
            raise CorruptLogError(f"{path}: no block begins at byte {position}, where one should")
        header_end = frame_end + header_size
        end = header_end + payload_size
        if end > len(data):
            return
        checked = zlib.crc32(_CHECKED.pack(kind, header_size, payload_size))
        if zlib.crc32(memoryview(data)[frame_end:end], checked) != crc:
            raise CorruptLogError(f"{path}: the block at byte {position} is damaged: its checksum does not fit")
        yield Block(kind, data[frame_end:header_end], data[header_end:end])
        position = end

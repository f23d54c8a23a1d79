"""The deliveries log: which events a worker stored and when, for the harness to join by id.

Two kinds of block in a record log (traffic/recordlog.py), all stamps ``time.monotonic_ns()``:

- ``EVENTS``: ``EVENTS_HEADER`` (fetched, acknowledged), then one ``EVENT`` an event: the low 64
  bits of its ``_id`` as a number, and its record's timestamp in milliseconds. Written once the
  write was acknowledged; an event found stored already with the same content counts, a dead
  letter does not.
- ``ASSIGNMENT``: ``ASSIGNMENT_HEADER`` (stamp), then JSON ``{topic: [partitions]}``, at every
  assignment, empty where this worker got nothing.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from traffic.recordlog import RecordLogWriter

EVENTS = 1
ASSIGNMENT = 2
EVENTS_HEADER = struct.Struct("<qq")
EVENT = struct.Struct("<Qq")
ASSIGNMENT_HEADER = struct.Struct("<q")


class DeliveriesLog:
    """Appends to one file; a batch costs one ``write``."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` for appending; raises OSError where that is not possible."""
        self._log = RecordLogWriter(path)

    def events(
        self, fetched_ns: int, acknowledged_ns: int, identifiers: Sequence[bytes], timestamps_ms: Sequence[int]
    ) -> None:
        """Record that the documents with these ``identifiers``, of records with ``timestamps_ms``, are stored."""
        header = EVENTS_HEADER.pack(fetched_ns, acknowledged_ns)
        self._log.append(EVENTS, header, _packed(identifiers, timestamps_ms))

    def assignment(self, stamp_ns: int, partitions: Mapping[str, Sequence[int]]) -> None:
        """Record what this worker reads from now on."""
        self._log.append(ASSIGNMENT, ASSIGNMENT_HEADER.pack(stamp_ns), msgspec.json.encode(partitions))

    def close(self) -> None:
        """Close the file."""
        self._log.close()


def _packed(identifiers: Sequence[bytes], timestamps_ms: Sequence[int]) -> bytes:
    """The ``EVENT`` records, made as columns, which costs far less than packing them one by one."""
    words = array("I", b"".join(identifiers))  # three an _id, each with its most significant byte first
    table = array("q", bytes(EVENT.size * len(identifiers)))
    table[1::2] = array("q", timestamps_ms)
    halves = array("I", table.tobytes())
    if sys.byteorder == "little":
        words.byteswap()
        halves[0::4], halves[1::4] = words[2::3], words[1::3]
        return halves.tobytes()
    halves[0::4], halves[1::4] = words[1::3], words[2::3]
    table = array("q", halves.tobytes())
    table.byteswap()
    return table.tobytes()

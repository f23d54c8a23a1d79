"""The ledger: what became of every request, and when, kept by the process that sent it.

One file a stream, ``ledger-<stream>.log``, as a record log (:mod:`traffic.recordlog`): a head (JSON), blocks
of fixed-width records, a tail (JSON) when the generator ended properly. Whatever was flushed survives a kill.
All times are nanoseconds from the epoch; ``NO_TIME`` where there is none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from pipeline.errors import CorruptLogError, MissingPartError, UsageError
from traffic.recordlog import RecordLogWriter, read_blocks
from traffic.spec import LoadSpec

KIND_HEAD = 10
KIND_RECORDS = 11
KIND_TAIL = 12

NO_TIME = -1
FLUSH_RECORDS = 512

_RECORD = struct.Struct("<QIqqqB")
RECORD_DTYPE = np.dtype(
    [
        ("first", "<u8"),
        ("count", "<u4"),
        ("intended_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("answered_ns", "<i8"),
        ("outcome", "u1"),
    ]
)


class Outcome(IntEnum):
    """What became of events: answered as accepted, answered otherwise, no answer, or never sent."""

    ACCEPTED = 0
    REJECTED = 1
    IN_DOUBT = 2
    UNSENT = 3


class LedgerHead(Struct, frozen=True):
    """Who wrote the ledger, what it had to offer, and the epoch on both clocks."""

    spec: LoadSpec
    index: int
    count: int
    epoch_monotonic_ns: int
    epoch_unix_ns: int
    pid: int


class LedgerTail(Struct, frozen=True):
    """What a generator that ended properly says it offered (events) and recorded (rows).

    ``stopped_ns``: the moment after which nothing was offered any more, None where the schedule came to its end.
    """

    offered: int
    records: int
    stopped_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """One stream's ledger as read. ``records`` is a structured array of ``RECORD_DTYPE``, as appended."""

    head: LedgerHead
    records: NDArray[np.void]
    tail: LedgerTail | None


class LedgerWriter:
    """Appends to one stream's ledger: one ``struct.pack`` a record, one write for many."""

    def __init__(self, path: Path, head: LedgerHead) -> None:
        """Begin the ledger at ``path``, in a folder that is there.

        Raises:
            UsageError: there is one already: two runs in one file would belong to neither.
        """
        if path.exists():
            raise UsageError(f"there is a ledger at {path} already: name another folder, or remove it")
        self._log = RecordLogWriter(path)
        self._log.append(KIND_HEAD, b"", msgspec.json.encode(head))
        self._pending = bytearray()
        self._records = 0

    def record(self, first: int, count: int, intended_ns: int, sent_ns: int, answered_ns: int, outcome: int) -> None:
        """Note the outcome of ``count`` events from sequence ``first`` on."""
        self._pending += _RECORD.pack(first, count, intended_ns, sent_ns, answered_ns, outcome)
        self._records += 1
        if len(self._pending) >= FLUSH_RECORDS * _RECORD.size:
            self.flush()

    def flush(self) -> None:
        """Write what is pending; it survives the death of this process. Call it at least once a second."""
        if self._pending:
            pending, self._pending = bytes(self._pending), bytearray()
            self._log.append(KIND_RECORDS, b"", pending)

    def close(self, offered: int, stopped_ns: int | None = None) -> None:
        """End the ledger properly: all of ``offered`` events are recorded, those that were due by ``stopped_ns``."""
        self.flush()
        self._log.append(KIND_TAIL, b"", msgspec.json.encode(LedgerTail(offered, self._records, stopped_ns)))
        self._log.close()


def path_of(folder: Path, stream: int) -> Path:
    """Return where the ledger of ``stream`` lies in ``folder``."""
    return folder / f"ledger-{stream}.log"


def read(path: Path) -> Ledger:
    """Read a ledger, also one that is still being written or whose writer was killed.

    Raises:
        MissingPartError: there is none at ``path``.
        CorruptLogError: it is damaged before its end, or is no ledger.
    """
    head: LedgerHead | None = None
    tail: LedgerTail | None = None
    records = []
    try:
        for block in read_blocks(path):
            if block.kind == KIND_HEAD:
                head = msgspec.json.decode(block.payload, type=LedgerHead)
            elif block.kind == KIND_RECORDS:
                records.append(np.frombuffer(block.payload, dtype=RECORD_DTYPE))
            elif block.kind == KIND_TAIL:
                tail = msgspec.json.decode(block.payload, type=LedgerTail)
    except FileNotFoundError as error:
        raise MissingPartError(f"there is no ledger at {path}: the generator did not start") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptLogError(f"{path} is not a ledger of this version: {error}") from error
    if head is None:
        raise CorruptLogError(f"{path} has no head: it is no ledger, or its generator died at its start")
    whole = np.concatenate(records) if records else np.empty(0, dtype=RECORD_DTYPE)
    return Ledger(head, whole, tail)

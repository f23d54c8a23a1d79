"""What the witness sends, and what it saw: its schedule, its events, its log, and the log as read.

All of it follows from the load's own spec, so that the audit knows what the witness was due to offer without
asking it. A sighting is one record of a record log (:mod:`traffic.recordlog`), written when the event was
read or given up: ``missed_ns`` is when the last poll that did not find it began, ``seen_ns`` when the poll that read it
ended. All times are ns from the epoch; ``NO_TIME`` of the ledger where there is none.
"""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.evidence.offered import Offered
from traffic import identity
from traffic.content import Content
from traffic.recordlog import RecordLogWriter, read_blocks
from traffic.spec import LoadSpec

RATE_PER_S = 4.0
FILE = "witness.log"
SIGHTING = np.dtype([("sequence", "<u8"), ("missed_ns", "<i8"), ("seen_ns", "<i8")])

_KIND_SIGHTING = 20
_RECORD = struct.Struct("<Qqq")
_TABLE_EVENTS = 64  # different events: made in a moment, where the load's own table takes a while
_RANDOM_STREAM = 5  # the load's schedule and contents use others of the same seed
_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000


class SightingsWriter:
    """Appends to the witness's log; one write an event, which are a few a second."""

    def __init__(self, folder: Path) -> None:
        """Begin the log in ``folder``; raises OSError where that is not possible."""
        self._log = RecordLogWriter(folder / FILE)

    def sighting(self, sequence: int, missed_ns: int, seen_ns: int) -> None:
        """Note that an event was read, or that it was given up."""
        self._log.append(_KIND_SIGHTING, b"", _RECORD.pack(sequence, missed_ns, seen_ns))

    def close(self) -> None:
        """Close the file."""
        self._log.close()


def load(folder: Path) -> NDArray[np.void]:
    """Read the witness's log in ``folder``, a structured array of ``SIGHTING``; empty where it wrote none.

    Raises:
        CorruptLogError: a block in its middle is damaged.
    """
    path = folder / FILE
    blocks = read_blocks(path) if path.exists() else ()
    payload = b"".join(block.payload for block in blocks if block.kind == _KIND_SIGHTING)
    return np.frombuffer(payload, dtype=SIGHTING)


def due_ns(spec: LoadSpec) -> NDArray[np.int64]:
    """Return when each event is due: one in each quarter of a second, at a seeded moment within it.

    So there is one in every part of the test, and none that keeps time with anything periodic.
    """
    count = int(spec.duration_s * RATE_PER_S)
    within = np.random.default_rng([spec.seed, _RANDOM_STREAM]).random(count)
    moments: NDArray[np.int64] = ((np.arange(count) + within) / RATE_PER_S * _NS_PER_S).astype(np.int64)
    return moments


def scheduled(spec: LoadSpec, audited: Offered) -> int:
    """Return how many events the witness was due to offer; if its ledger says that it was stopped, until then."""
    due = due_ns(spec)
    stopped_ns = dict(zip(audited.streams, audited.stopped_ns, strict=True)).get(identity.WITNESS_STREAM)
    return len(due) if stopped_ns is None else int((due <= stopped_ns).sum())


def content_of(spec: LoadSpec) -> Content:
    """Return the events of the witness: such as the load's, from a small table of their own."""
    traffic = msgspec.structs.replace(spec.traffic, table_events=_TABLE_EVENTS)
    return Content(traffic, spec.seed, spec.run)


def unix_ms_of(epoch_unix_ns: int, intended_ns: int) -> int:
    """Return the time that an event bears which is due at ``intended_ns``."""
    return (epoch_unix_ns + intended_ns) // _NS_PER_MS


def document_id(run: int, sequence: int, unix_ms: int) -> bytes:
    """Return the 12 bytes of the ``_id`` under which an event of the witness has to appear (docs/identifiers.md)."""
    low = identity.id_low(identity.pack(run, identity.WITNESS_STREAM, sequence))
    return (unix_ms // 1_000 % 2**32).to_bytes(4, "big") + low.to_bytes(8, "big")

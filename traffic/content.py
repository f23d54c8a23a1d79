"""What each event says: a pure function of who it is and when it is due.

The sender encodes with it, the audit compares with it. A seeded table holds the events' beginnings,
encoded already; only the identity, the timestamp and the id are filled in for each event (:mod:`traffic.strip`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from traffic import identity, sessions
from traffic.spec import Traffic
from traffic.strip import Strip, alike, tail_bytes

# An event's length behind its beginning, with an identity of the most digits.
_TAIL_BYTES = tail_bytes(len(str(identity.pack(identity.MAX_RUN, 0, 0))))
_FILLING_BYTES = len(b'"filling":"",')
# Spreads the streams' beginnings over the table: 2 to the power of 32 divided by the golden ratio.
_SPREAD = 2_654_435_769
# Tables that are kept, so that whoever asks for the same events again need not wait for them.
_TABLES_KEPT = 4
# Of all prepared events together: of large ones there are fewer, so that memory does not grow with their size.
_MOST_TABLE_BYTES = 1 << 26
_FEWEST_EVENTS = 64
_KEPT_UP_TO_BYTES = 1 << 25


class EventTable(NamedTuple):
    """What events are made of, by their *place*: who does what, how much filling there is, and their JSON's beginning.

    A beginning is an event up to where its identity stands; ``lengths`` are the beginnings' in bytes.
    """

    steps: list[sessions.SessionStep]
    filling_bytes: list[int]
    beginnings: list[bytes]
    lengths: NDArray[np.int64]


class Content:
    """The events of one run. Two with the same traffic, seed and run say the same."""

    def __init__(self, traffic: Traffic, seed: int, run: int) -> None:
        """Prepare the table, or take the one prepared before; the first time takes a fraction of a second."""
        self._run = run
        small = traffic.table_events * traffic.payload_bytes <= _KEPT_UP_TO_BYTES
        self.table = _kept_table(traffic, seed) if small else _table(traffic, seed)

    def encode(self, stream: int, sequence: int, unix_ms: int) -> bytes:
        """Return one event as JSON."""
        return self.encode_many(stream, sequence, 1, unix_ms)[0]

    def encode_many(self, stream: int, first: int, count: int, unix_ms: int) -> list[bytes]:
        """Return ``count`` events from sequence ``first`` on, each as JSON, all due at ``unix_ms``."""
        stamp = timestamp(unix_ms)
        encoded: list[bytes] = []
        while len(encoded) < count:
            encoded += self.strip(stream, first + len(encoded), count - len(encoded)).each(unix_ms, stamp)
        return encoded

    def strip(self, stream: int, first: int, count: int) -> Strip:
        """Return events from sequence ``first`` on, to be dated: ``count``, or fewer where a strip has to end.

        Raises:
            ValueError: run, stream or sequence have more bits than they may.
        """
        packed = identity.pack(self._run, stream, first)
        identity.pack(self._run, stream, first + count - 1)
        beginnings, lengths = self.table.beginnings, self.table.lengths
        at = (stream * _SPREAD + first) % len(beginnings)
        # It ends where the table begins anew, and where the numbers get a digit more.
        count = min(alike(packed, count), len(beginnings) - at)
        return Strip(beginnings[at : at + count], lengths[at : at + count], first, packed)

    def encode_batch(self, stream: int, first: int, count: int, unix_ms: int) -> bytes:
        """Return the body of one request to ``/track/batch``."""
        return batch_body(self.encode_many(stream, first, count, unix_ms))

    def places(self, streams: NDArray[np.int64], sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in the table of the events that have these streams and sequences, in their shape."""
        return (streams * _SPREAD + sequences) % len(self.table.beginnings)

    def event(self, stream: int, sequence: int, unix_ms: int) -> dict[str, Any]:
        """Return one event as it was sent, decoded."""
        event: dict[str, Any] = msgspec.json.decode(self.encode(stream, sequence, unix_ms))
        return event


def batch_body(events: Sequence[bytes | memoryview]) -> bytes:
    """Return the body that ``/track/batch`` takes: ``{"events": [...]}``; each may be several events with commas."""
    return b"".join((b'{"events":[', b",".join(events), b"]}"))


def timestamp(unix_ms: int) -> bytes:
    """Return ISO 8601 in UTC with milliseconds, the form that events carry."""
    unix_s, ms = divmod(unix_ms, 1000)
    return b"%b.%03dZ" % (_second(unix_s), ms)


def _table(traffic: Traffic, seed: int) -> EventTable:
    most = max(_FEWEST_EVENTS, _MOST_TABLE_BYTES // max(1, traffic.payload_bytes))
    traffic = msgspec.structs.replace(traffic, table_events=min(traffic.table_events, most))
    steps, fillings, beginnings = list(sessions.steps(traffic, seed)), [], []
    for step in steps:
        props = {"url": step.url, "ref": step.ref}
        text = msgspec.json.encode({"event": step.event_type, "user_id": step.user_id, "props": props})[:-2] + b","
        missing = traffic.payload_bytes - len(text) - len(b'"tidemark":') - _TAIL_BYTES - _FILLING_BYTES
        filling = b'"filling":"' + b"x" * missing + b'",' if missing > 0 else b""
        fillings.append(max(missing, 0))
        beginnings.append(text + filling + b'"tidemark":')
    lengths = np.fromiter(map(len, beginnings), dtype=np.int64, count=len(beginnings))
    return EventTable(steps, fillings, beginnings, lengths)


_kept_table = lru_cache(_TABLES_KEPT)(_table)


@lru_cache(maxsize=16)
def _second(unix_s: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s)).encode()

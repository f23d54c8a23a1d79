"""What each event says: a pure function of who it is and when it is due.

The sender encodes with it, the audit compares with it. A seeded table holds the events' beginnings,
encoded already; only the identity, the timestamp and the id are filled in for each event.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from loadtest import _identity, _sessions
from loadtest._spec import Traffic

# An event: its beginning, identity, timestamp, and the id, of which the last 12 bits of its second group, all
# of its third and its last differ from event to event. Doubled signs are filled in event by event.
_EVENT = b'%%b%%d},"timestamp":"%b","event_id":"%b-7%%03x-%04x-%%012x"}'
# Lengths of what is filled in, for the filling: identity, timestamp and id, with what stands between.
_TAIL_BYTES = 19 + len(b'},"timestamp":"2025-11-26T12:00:00.000Z","event_id":""}') + 36
_FILLING_BYTES = len(b'"filling":"",')
# Spreads the streams' beginnings over the table: 2 to the power of 32 divided by the golden ratio.
_SPREAD = 2_654_435_769
_RAND_A = 0xFFF
_LOW_48 = (1 << 48) - 1
# Tables that are kept, so that whoever asks for the same events again need not wait for them.
_TABLES_KEPT = 4
_KEPT_UP_TO_BYTES = 1 << 25


class Table(NamedTuple):
    """What events are made of, by their *place*: who does what, how much filling there is, and their JSON's beginning.

    A beginning is an event up to where its identity stands.
    """

    steps: list[_sessions.Step]
    filling_bytes: list[int]
    beginnings: list[bytes]


class Content:
    """The events of one run. Two with the same traffic, seed and run say the same."""

    def __init__(self, traffic: Traffic, seed: int, run: int) -> None:
        """Prepare the table, or take the one prepared before; the first time takes a fraction of a second."""
        self._run = run
        small = traffic.table_events * traffic.payload_bytes <= _KEPT_UP_TO_BYTES
        self.table = _kept_table(traffic, seed) if small else _table(traffic, seed)
        self._beginnings = self.table.beginnings

    def encode(self, stream: int, sequence: int, unix_ms: int) -> bytes:
        """Give one event as JSON."""
        return self.encode_many(stream, sequence, 1, unix_ms)[0]

    def encode_many(self, stream: int, first: int, count: int, unix_ms: int) -> list[bytes]:
        """Give ``count`` events from sequence ``first`` on, each as JSON, all due at ``unix_ms``."""
        packed = _identity.pack(self._run, stream, first)
        _identity.pack(self._run, stream, first + count - 1)
        event = _EVENT % (_stamp(unix_ms), _id_head(unix_ms), _identity.id_low(packed) >> 48)
        at = (stream * _SPREAD + first) % len(self._beginnings)
        beginnings = self._beginnings[at : at + count]
        while len(beginnings) < count:
            beginnings += self._beginnings[: count - len(beginnings)]
        return [
            event % (beginning, number, number & _RAND_A, number & _LOW_48)
            for number, beginning in enumerate(beginnings, packed)
        ]

    def encode_batch(self, stream: int, first: int, count: int, unix_ms: int) -> bytes:
        """Give the body of one request to ``/track/batch``."""
        return batch_body(self.encode_many(stream, first, count, unix_ms))

    def places(self, streams: NDArray[np.int64], sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the places in the table of the events that have these streams and sequences, in their shape."""
        return (streams * _SPREAD + sequences) % len(self._beginnings)

    def event(self, stream: int, sequence: int, unix_ms: int) -> dict[str, Any]:
        """Give one event as it was sent, decoded."""
        event: dict[str, Any] = msgspec.json.decode(self.encode(stream, sequence, unix_ms))
        return event


def batch_body(events: list[bytes]) -> bytes:
    """Give the body that ``/track/batch`` takes: ``{"events": [...]}``."""
    return b'{"events":[' + b",".join(events) + b"]}"


def timestamp(unix_ms: int) -> str:
    """Give ISO 8601 in UTC with milliseconds, the form that events carry."""
    return _stamp(unix_ms).decode()


def _table(traffic: Traffic, seed: int) -> Table:
    table = Table(list(_sessions.steps(traffic, seed)), [], [])
    for step in table.steps:
        props = {"url": step.url, "ref": step.ref}
        text = msgspec.json.encode({"event": step.event_type, "user_id": step.user_id, "props": props})[:-2] + b","
        missing = traffic.payload_bytes - len(text) - len(b'"tidemark":') - _TAIL_BYTES - _FILLING_BYTES
        filling = b'"filling":"' + b"x" * missing + b'",' if missing > 0 else b""
        table.filling_bytes.append(max(missing, 0))
        table.beginnings.append(text + filling + b'"tidemark":')
    return table


_kept_table = lru_cache(_TABLES_KEPT)(_table)


@lru_cache(maxsize=16)
def _second(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))


def _stamp(unix_ms: int) -> bytes:
    unix_s, ms = divmod(unix_ms, 1000)
    return f"{_second(unix_s)}.{ms:03d}Z".encode()


def _id_head(unix_ms: int) -> bytes:
    """The first two groups of a UUIDv7: its 48 bits of time."""
    head = b"%012x" % (unix_ms & _LOW_48)
    return head[:8] + b"-" + head[8:]

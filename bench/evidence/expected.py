"""What must be stored: the document that each event has to become, as fields and as the bytes of its BSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from bson.objectid import ObjectId
from numpy.typing import NDArray

from bench.evidence import sightings
from bench.evidence.offered import Offered
from bench.evidence.rawbson import IDENTITY_NAME, at_every_byte
from traffic import identity
from traffic.content import Content, Table
from traffic.sessions import Step
from traffic.spec import LoadSpec, Traffic

_INT32_BYTES = 4
_ID_AT = _INT32_BYTES + len(b"\x07_id\x00")  # behind the document's length: its first element
_NUMBER_BYTES = 8
_TIMESTAMP_FROM_END = 1 + _NUMBER_BYTES  # the document's last element, then its end
_LOW_BITS = 0b10 << 62
_TEMPLATES_KEPT = 4
_KEPT_UP_TO_BYTES = 1 << 25
_SHARED_FROM_BYTES = 512  # longer filling is kept once, not in each template
_LONGEST_FILLING = b"x" * 65_536


def expected_document(event: Mapping[str, Any]) -> dict[str, Any]:
    """Give the document that ``event`` must become. Written apart from the worker's mapping, to judge it."""
    props = dict(event["props"])
    if "ref" in props and "referrer" not in props:
        props["referrer"] = props.pop("ref")
    sent_at = datetime.fromisoformat(event["timestamp"])
    identifier = event["event_id"].replace("-", "")
    seconds = (int(identifier[:12], 16) // 1000) % 2**32
    return {
        "_id": ObjectId(seconds.to_bytes(4, "big") + bytes.fromhex(identifier[16:])),
        "event_type": event["event"],
        "user_id": event["user_id"],
        "props": props,
        "timestamp": round(sent_at.timestamp() * 1000),
    }


class Expected:
    """What each event of a repeat must become, by the event's index (see :class:`bench.evidence.offered.Offered`)."""

    def __init__(self, offered: Offered, spec: LoadSpec) -> None:
        """Make all of it anew from the seed; the generator said only when each request was due."""
        self._offered = offered
        self._content = Content(spec.traffic, spec.seed, spec.run)
        self._of_witness = sightings.content_of(spec)
        self._run = spec.run
        self._unix_ms = (offered.rows["intended"] + offered.epoch_unix_ns) // 1_000_000
        table_bytes = spec.traffic.table_events * spec.traffic.payload_bytes
        small = table_bytes <= _KEPT_UP_TO_BYTES
        self._templates = _kept_templates(spec.traffic, spec.seed) if small else _Templates(self._content.table)

    def has_bson(self, indexes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for which of these events :meth:`bson` can be asked, which keeps what is in the load's table in memory.

        It cannot for the witness's few, which come from another one: :meth:`event` alone tells what they say.
        """
        streams = self._offered.rows["stream"][self._offered.row_of_event[indexes]]
        return np.asarray(streams != identity.WITNESS_STREAM)

    def event(self, index: int) -> dict[str, Any]:
        """Give the event as it was sent."""
        row = int(self._offered.row_of_event[index])
        stream = int(self._offered.rows["stream"][row])
        sequence = index - int(self._offered.stream_base[stream])
        content = self._of_witness if stream == identity.WITNESS_STREAM else self._content
        return content.event(stream, sequence, int(self._unix_ms[row]))

    def bson(self, indexes: NDArray[np.int64]) -> tuple[bytearray, NDArray[np.int64]]:
        """Give the documents of these events as BSON, one behind the other, and their lengths in bytes.

        In them the elements have the order in which a worker writes them, and numbers their usual types: a
        document that is not the same byte by byte may still say the same.
        """
        rows = self._offered.row_of_event[indexes]
        streams = self._offered.rows["stream"][rows].astype(np.int64)
        sequences = indexes - self._offered.stream_base[streams]
        packed = identity.pack(self._run, 0, 0) | streams << identity.SEQUENCE_BITS | sequences
        return self._templates.filled(self._content.places(streams, sequences), packed, self._unix_ms[rows])


class _Templates:
    """The document of each event in the table, as BSON, with _id, identity and timestamp to be filled in.

    With much filling (the same byte repeated), only the two halves around it are kept.
    """

    def __init__(self, table: Table) -> None:
        filler = memoryview(_LONGEST_FILLING)
        self._parts: list[tuple[bytes | memoryview, ...]] = []
        lengths, identities = [], []
        for step, filling_bytes in zip(table.steps, table.filling_bytes, strict=True):
            before, after, identity_at = _template(step, filling_bytes)
            if filling_bytes < _SHARED_FROM_BYTES:
                self._parts.append((before + _LONGEST_FILLING[:filling_bytes] + after,))
            else:
                self._parts.append((before, filler[:filling_bytes], after))
            lengths.append(len(before) + filling_bytes + len(after))
            identities.append(identity_at)
        self._lengths = np.array(lengths, dtype=np.int64)
        self._identity_at = np.array(identities, dtype=np.int64)

    def filled(
        self, places: NDArray[np.int64], packed: NDArray[np.int64], unix_ms: NDArray[np.int64]
    ) -> tuple[bytearray, NDArray[np.int64]]:
        """Give the documents of the events at ``places``, one behind the other, and their lengths."""
        lengths = self._lengths[places]
        parts = self._parts
        documents = bytearray().join([part for place in places.tolist() for part in parts[place]])
        ends = np.cumsum(lengths)
        starts = ends - lengths
        ids = starts + _ID_AT
        at_every_byte(documents, ">u4")[ids] = unix_ms // 1_000 % 2**32
        at_every_byte(documents, ">u8")[ids + 4] = packed.astype(np.uint64) | np.uint64(_LOW_BITS)
        at_every_byte(documents, "<i8")[starts + self._identity_at[places]] = packed
        at_every_byte(documents, "<i8")[ends - _TIMESTAMP_FROM_END] = unix_ms
        return documents, lengths


@lru_cache(_TEMPLATES_KEPT)
def _kept_templates(traffic: Traffic, seed: int) -> _Templates:
    return _Templates(Content(traffic, seed, 0).table)


def _template(step: Step, filling_bytes: int) -> tuple[bytes, bytes, int]:
    """Give the BSON of :func:`expected_document` for an event of ``step``, and where in it the identity stands.

    The filling between the two halves is left out. It is written by hand, because encoding each event as a dict would
    take as long as reading a repeat's documents.
    """
    head = b"\x07_id\x00" + bytes(12) + _string(b"event_type", step.event_type) + _string(b"user_id", step.user_id)
    filling = b""
    if filling_bytes:
        filling = b"\x02filling\x00" + _length(filling_bytes + 1)
    shown = _string(b"url", step.url) + filling
    end_of_filling = b"\x00" if filling_bytes else b""
    rest = end_of_filling + IDENTITY_NAME
    referrer = _string(b"referrer", step.ref) + b"\x00"
    props_bytes = _INT32_BYTES + len(shown) + filling_bytes + len(rest) + _NUMBER_BYTES + len(referrer)
    date = b"\x09timestamp\x00" + bytes(_NUMBER_BYTES) + b"\x00"
    name = b"\x03props\x00"
    whole_bytes = _INT32_BYTES + len(head) + len(name) + props_bytes + len(date)
    before = _length(whole_bytes) + head + name + _length(props_bytes) + shown
    return before, rest + bytes(_NUMBER_BYTES) + referrer + date, len(before) + filling_bytes + len(rest)


@lru_cache(1 << 14)
def _string(name: bytes, value: str) -> bytes:
    text = value.encode() + b"\x00"
    return b"\x02" + name + b"\x00" + _length(len(text)) + text


def _length(size_bytes: int) -> bytes:
    return size_bytes.to_bytes(_INT32_BYTES, "little")

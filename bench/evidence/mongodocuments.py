"""The documents of a collection in MongoDB, as the audit sees them (:class:`bench.evidence.stored.StoredDocuments`)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import bson
import numpy as np
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId
from numpy.typing import NDArray

from bench.evidence import rawbson, rawcursor
from bench.evidence.rawbson import IDENTITY_NAME, at_every_byte
from bench.evidence.stored import RawDocuments
from pipeline.settings import Mongo
from traffic.content import EventTable
from traffic.sessions import SessionStep

_INT32_BYTES = 4
_ID_AT = _INT32_BYTES + len(b"\x07_id\x00")  # behind the document's length: its first element
_NUMBER_BYTES = 8
_TIMESTAMP_FROM_END = 1 + _NUMBER_BYTES  # the document's last element, then its end
_LOW_BITS = 0b10 << 62
_SHARED_FROM_BYTES = 512  # longer filling is kept once, not in each template
_LONGEST_FILLING = b"x" * 65_536
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


class MongoDocuments:
    """The collection that ``mongo`` names."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    def batches(self) -> Iterator[RawDocuments]:
        """Return all documents.

        Raises:
            PyMongoError: MongoDB is away, or did not answer in ``mongo.timeout_ms``.
        """
        return rawcursor.batches(self._mongo)

    def identities(self, batch: RawDocuments) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Read the identity of every document of ``batch``, all at once."""
        return rawbson.identities(batch)

    def fields(self, document: bytes) -> dict[str, Any]:
        """Decode one document."""
        found = bson.decode(document, _OPTIONS)
        if "_id" in found:
            of = found["_id"]
            found["_id"] = str(of) if isinstance(of, ObjectId) else f"no ObjectId but {of!r}"
        if "timestamp" in found:
            stamp = found["timestamp"]
            found["timestamp"] = int(stamp) if isinstance(stamp, DatetimeMS) else f"no date but {stamp!r}"
        return found

    @staticmethod
    def templates(table: EventTable) -> BsonTemplates:
        """Return the templates of the events in ``table``."""
        return BsonTemplates(table)


class BsonTemplates:
    """The document of each event in the table, as BSON, with _id, identity and timestamp to be filled in.

    With much filling (the same byte repeated), only the two halves around it are kept.
    """

    def __init__(self, table: EventTable) -> None:
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
        """Return the documents of the events at ``places``, one behind the other, and their lengths."""
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


def _template(step: SessionStep, filling_bytes: int) -> tuple[bytes, bytes, int]:
    """Return the BSON of :func:`expected_document` for an event of ``step``, and where in it the identity stands.

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

"""All documents of a collection as raw BSON, a batch at a time, without an object made of each.

PyMongo's own raw batches make one of every document, which takes longer than all that the audit does
with it. Here a batch stays the array that the server sent, and is cut by the lengths that stand in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from bson.codec_options import CodecOptions
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from bench.evidence.stored import RawDocuments
from pipeline.settings import Mongo

BATCH_DOCUMENTS = 10_000
_FIRST_DOCUMENTS = 500
_BATCH_BYTES = 4 * 1024 * 1024
"""Only a few batches are in memory at a time, whatever the size of the collection and its documents."""
_OPTIONS = CodecOptions(document_class=RawBSONDocument)
_LENGTH = struct.Struct("<i")
_LENGTH_BYTES = 4
_SMALLEST_BYTES = 5
_INT64 = struct.Struct("<q")
_DOCUMENT, _ARRAY, _STRING, _LONG = 0x03, 0x04, 0x02, 0x12
_VALUE_BYTES = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x10: 4, 0x11: 8, _LONG: 8}  # of types of fixed length


class _Reply(NamedTuple):
    """What find and getMore answer: an array of documents, and the cursor to ask for more (0: there are none)."""

    array: bytes
    cursor: int


def batches(mongo: Mongo) -> Iterator[RawDocuments]:
    """Return the documents of the collection, the next ones already on their way while some are looked at.

    Raises:
        PyMongoError: MongoDB is away, or did not answer in ``mongo.timeout_ms``.
        InvalidBSON: what it sent is not what a server sends.
    """
    with (
        MongoClient[RawBSONDocument](
            mongo.uri,
            serverSelectionTimeoutMS=mongo.timeout_ms,
            socketTimeoutMS=mongo.timeout_ms,
            document_class=RawBSONDocument,
        ) as client,
        client.start_session() as session,
        ThreadPoolExecutor(1) as pool,
    ):
        database = client[mongo.database]

        def ask(command: dict[str, Any]) -> _Reply:
            return _read(bytes(database.command(command, codec_options=_OPTIONS, session=session).raw))

        coming = pool.submit(ask, {"find": mongo.collection, "batchSize": _FIRST_DOCUMENTS})
        count = _FIRST_DOCUMENTS
        while True:
            reply = coming.result()
            if reply.cursor:
                count = max(1, min(BATCH_DOCUMENTS, count * _BATCH_BYTES // max(1, len(reply.array))))
                more = {"getMore": reply.cursor, "collection": mongo.collection, "batchSize": count}
                coming = pool.submit(ask, more)
            yield cut(reply.array)
            if not reply.cursor:
                return


def cut(array: bytes) -> RawDocuments:
    """Cut an array of documents, in BSON, into its documents.

    Raises:
        InvalidBSON: an element is no document.
    """
    parts, length_at, at, end = [], _LENGTH.unpack_from, _LENGTH_BYTES, len(array) - 1
    element_bytes, of_this_width, number = 3, 10, 0  # an element: type, its number in decimal digits, end of name
    while at < end:
        if number == of_this_width:
            element_bytes, of_this_width = element_bytes + 1, of_this_width * 10
        number += 1
        at += element_bytes
        length = length_at(array, at)[0]
        if length < _SMALLEST_BYTES:
            raise InvalidBSON(f"a document of {length} bytes at byte {at} of {len(array)}")
        parts.append(array[at : at + length])
        at += length
    starts = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=starts[1:])
    return RawDocuments(b"".join(parts), starts)


def _read(reply: bytes) -> _Reply:
    """Take array and cursor out of a reply, whose field ``cursor`` comes first."""
    at = reply.index(b"\x03cursor\x00") + len(b"\x03cursor\x00") + _LENGTH_BYTES
    array, cursor = b"", 0
    while (kind := reply[at]) != 0:
        value = reply.index(b"\x00", at + 1) + 1
        name = reply[at + 1 : value - 1]
        if kind in (_DOCUMENT, _ARRAY):
            at = value + _LENGTH.unpack_from(reply, value)[0]
        elif kind == _STRING:
            at = value + _LENGTH_BYTES + _LENGTH.unpack_from(reply, value)[0]
        elif kind in _VALUE_BYTES:
            at = value + _VALUE_BYTES[kind]
        else:
            raise InvalidBSON(f"a cursor with an element of type {kind}")
        if kind == _ARRAY and name in (b"firstBatch", b"nextBatch"):
            array = reply[value:at]
        elif kind == _LONG and name == b"id":
            cursor = _INT64.unpack_from(reply, value)[0]
    return _Reply(array, cursor)

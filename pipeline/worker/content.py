"""Compare an event with the document that is stored under its ``_id``; docs/identifiers.md has the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from pipeline.messages.timestamps import record_time
from pipeline.store import Document

# Not decoded into dicts: names like $ref and $id would become a reference, with its own order.
_RAW = CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def same_content(stored: bytes, document: Document, record_timestamp_ms: int) -> bool:
    """Whether the ``stored`` BSON has the content of ``document``, from a record with ``record_timestamp_ms``.

    The order of names does not matter; numbers are equal if MongoDB says so, whatever their type. A timestamp equal to
    the record's was filled in by the API or a worker and is not compared.
    """
    new = bson.encode(document)
    if stored == new:
        return True
    there, here = dict(RawBSONDocument(stored, _RAW)), dict(RawBSONDocument(new, _RAW))
    if document["timestamp"] == record_time(record_timestamp_ms):
        there.pop("timestamp", None)
        del here["timestamp"]
    return _same(there, here)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(_same(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_same, one, other))
    # In Python True is 1; in BSON it is not.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other or (one != one and other != other))  # noqa: PLR0124  # NaN

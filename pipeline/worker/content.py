"""Whether what is stored under an ``_id`` is the event that came: docs/identifiers.md says what counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from pipeline.store import Document
from pipeline.timestamps import record_time

# Not decoded into dicts: what looks like a reference ($ref, $id) would become one, in an order of its own.
_RAW = CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def same_content(stored: bytes, document: Document, record_timestamp_ms: int) -> bool:
    """Whether the BSON that is ``stored`` is ``document``, made of a record of ``record_timestamp_ms``.

    Names may stand in any order; numbers are equal as MongoDB compares them, of any type. A timestamp that is
    its record's was filled in, by the API or by a worker, and takes no part.
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

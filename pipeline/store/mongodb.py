"""MongoDB as the store (:class:`pipeline.store.seam.StoreModule`): all that is said of BSON is said in this folder.

The 12 bytes of an identifier become an ObjectId. The commands stand in :mod:`pipeline.store.commands`, the two drivers
that send them in :mod:`pipeline.store.drivers`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from pipeline.settings import Mongo
from pipeline.store.drivers import MotorStore, PymongoStore
from pipeline.store.errors import UnencodableError
from pipeline.store.seam import Document, Store

# Not decoded into dicts: names like $ref and $id would become a reference, with its own order.
_RAW = CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO)

identifier = ObjectId


def bytes_of(of: ObjectId) -> bytes:
    """See :class:`pipeline.store.seam.StoreModule`."""
    return of.binary


def open_store(mongo: Mongo, connections: int) -> Store:
    """Return the store that ``mongo.driver`` names, with up to ``connections`` connections.

    Connects on first use, not here; must be called on the running event loop.

    Raises:
        SettingError: the URI or the write concern cannot be used.
    """
    driver = MotorStore if mongo.driver == "motor" else PymongoStore
    return driver(mongo, connections)


def expect_encodable(document: Document) -> None:
    """See :class:`pipeline.store.seam.StoreModule`."""
    try:
        bson.encode(document)
    except (BSONError, OverflowError, RecursionError, ValueError) as error:
        raise UnencodableError(str(error)) from error


def is_same(stored: bytes, document: Document, without: Collection[str]) -> bool:
    """See :class:`pipeline.store.seam.StoreModule`; numbers are equal if MongoDB says so, whatever their type."""
    new = bson.encode(document)
    if stored == new:
        return True
    there, here = dict(RawBSONDocument(stored, _RAW)), dict(RawBSONDocument(new, _RAW))
    for name in without:
        there.pop(name, None)
        here.pop(name, None)
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

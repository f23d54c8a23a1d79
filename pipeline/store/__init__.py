"""Where events are kept: one small seam, and MongoDB behind it.

This is the one place that names the store. Everything above knows only :mod:`pipeline.store.seam`: another store is
another module like :mod:`pipeline.store.mongodb`, named here.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.store import mongodb
from pipeline.store.errors import CommandFailedError, StoreAwayError, TooLargeError, UnencodableError
from pipeline.store.seam import Cause, Document, Identifier, InsertReply, Store, StoreModule, WriteError

__all__ = [
    "Cause",
    "CommandFailedError",
    "Document",
    "Identifier",
    "InsertReply",
    "Store",
    "StoreAwayError",
    "StoreModule",
    "TooLargeError",
    "UnencodableError",
    "WriteError",
    "bytes_of",
    "expect_encodable",
    "identifier",
    "is_same",
    "open_store",
]

_shipped: StoreModule = mongodb
identifier: Callable[[bytes], Identifier] = _shipped.identifier
bytes_of, open_store, expect_encodable, is_same = (
    _shipped.bytes_of,
    _shipped.open_store,
    _shipped.expect_encodable,
    _shipped.is_same,
)

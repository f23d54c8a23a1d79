"""A store in memory, as one module: what :class:`pipeline.store.seam.StoreModule` asks for, and no more.

Identifiers are their bytes and documents are kept as JSON; a number beyond 64 bits is refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.settings import Mongo
from pipeline.store.errors import UnencodableError
from pipeline.store.seam import Cause, Document, InsertReply, WriteError

_MOST = 1 << 63


def identifier(raw: bytes, /) -> str:
    """Make the identifier."""
    return raw.hex()


def bytes_of(of: str, /) -> bytes:
    """Return its bytes."""
    return bytes.fromhex(of)


def expect_encodable(document: Document, /) -> None:
    """Refuse large numbers."""
    _encoded(document)


def is_same(stored: bytes, document: Document, without: Collection[str], /) -> bool:
    """Compare field by field."""
    there, here = json.loads(stored), json.loads(_encoded(document))
    return {**there, **dict.fromkeys(without)} == {**here, **dict.fromkeys(without)}


def open_store(mongo: Mongo, connections: int) -> MemoryStore:  # noqa: ARG001 - it needs neither
    """Return an empty store."""
    return MemoryStore()


class MemoryStore:
    """Keeps documents by their identifier."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def insert(self, documents: Sequence[Document]) -> InsertReply:
        """Keep what is not there yet."""
        encoded = [_encoded(document) for document in documents]
        errors = []
        for at, (document, text) in enumerate(zip(documents, encoded, strict=True)):
            if document["_id"] in self.kept:
                errors.append(WriteError(at, Cause.SAME_ID, "it is there"))
            else:
                self.kept[document["_id"]] = text
        return InsertReply(len(documents) - len(errors), tuple(errors))

    async def prove_writable(self) -> None:
        """It always is."""

    async def find(self, identifiers: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is there."""
        return {each: self.kept[each] for each in identifiers if each in self.kept}

    async def close(self) -> None:
        """There is nothing to close."""


def _encoded(document: Document) -> bytes:
    def refuse(value: Any) -> None:
        if isinstance(value, dict):
            for each in value.values():
                refuse(each)
        elif isinstance(value, int) and not -_MOST <= value < _MOST:
            raise UnencodableError(f"{value} has more than 64 bits")

    refuse(document)
    return json.dumps(document, sort_keys=True, default=datetime.isoformat).encode()

"""The seam: what a worker needs of a database of documents, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from bson import ObjectId
from msgspec import Struct

Document = dict[str, Any]
"""A stored event as BSON has it: ``_id``, ``event_type``, ``user_id``, ``props``, ``timestamp``, in this order."""


class Cause(Enum):
    """Why a document was not written."""

    SAME_ID = "a document with this _id is there"
    CONTENT = "the server will never take what it holds"
    SERVER = "the server cannot now"


class WriteError(Struct, frozen=True):
    """One document was not written: its place in the batch, why, and the server's words."""

    position: int
    cause: Cause
    message: str


class InsertReply(NamedTuple):
    """A batch was acknowledged as the settings demand; ``inserted + len(errors)`` is its size."""

    inserted: int
    errors: tuple[WriteError, ...]


class Store(Protocol):
    """Writes batches and reads back what is there."""

    async def insert(self, documents: Sequence[Document]) -> InsertReply:
        """Write ``documents`` unordered, as one command; return when the write is acknowledged.

        Raises:
            StoreAwayError: not acknowledged; all, some or none may have been written.
            UnencodableError, TooLargeError: nothing was sent.
            RefusedDocumentsError: the server took none of them.
        """
        ...

    async def find(self, identifiers: Sequence[ObjectId]) -> dict[ObjectId, bytes]:
        """Give the BSON of the documents that are durably there, by ``_id``.

        Raises:
            StoreAwayError: MongoDB did not answer.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...

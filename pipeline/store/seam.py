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
    SERVER = "the server cannot now, and says so"
    UNKNOWN = "the document or the server: a second try beside a control write shows which"


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
            CommandFailedError: the same, by an answer of the server: one of the documents may be the cause.
            UnencodableError, TooLargeError: nothing was sent.
        """
        ...

    async def prove_writable(self) -> None:
        """Return once the server has taken a control write, as durably as events, and a command to insert events.

        The document of the control write is in a separate collection for a moment. The insert command leaves nothing,
        because its document can never be stored.

        Raises:
            StoreAwayError: MongoDB does not take writes now, or does not let us insert into the collection.
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

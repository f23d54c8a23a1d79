"""The seam: what a worker needs of a store of documents, and no more. Nothing here knows which store it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from pipeline.settings import Mongo

Identifier = Any
"""The identifier of a document as the store's client takes it: made of the 12 bytes of docs/identifiers.md, hashable,
and as text their 24 hexadecimal digits. Only the store looks into it."""
Document = dict[str, Any]
"""A stored event: ``_id`` (an :data:`Identifier`), ``event_type``, ``user_id``, ``props``, ``timestamp``, in order."""


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
            StoreAwayError: the store does not take writes now, or does not let us insert into the collection.
        """
        ...

    async def find(self, identifiers: Sequence[Identifier]) -> Mapping[Identifier, bytes]:
        """Return the documents that are durably there, by ``_id``, as the store encodes them.

        Raises:
            StoreAwayError: it did not answer.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class StoreModule(Protocol):
    """A store as a module: how it is opened, and how it writes down an event.

    A module has functions where a class has methods. They are none of the open store's, so that the worker's mapping,
    which calls the first of them for every event, needs no store.
    """

    def identifier(self, raw: bytes, /) -> Identifier:
        """Make the identifier of 12 bytes. Called for every event."""
        ...

    def bytes_of(self, of: Identifier, /) -> bytes:
        """Return the 12 bytes of an identifier."""
        ...

    def open_store(self, mongo: Mongo, connections: int) -> Store:
        """Return the store, with up to ``connections`` connections; must be called on the running event loop.

        Connects on first use, not here.

        Raises:
            SettingError: a setting cannot be used.
        """
        ...

    def expect_encodable(self, document: Document, /) -> None:
        """Check that the store can write ``document`` down at all.

        Raises:
            UnencodableError: it cannot.
        """
        ...

    def is_same(self, stored: bytes, document: Document, without: Collection[str], /) -> bool:
        """Whether ``stored``, as :meth:`Store.find` returns it, says the same as ``document``.

        The order of names does not matter. The fields ``without`` are not compared.
        """
        ...

"""What the audit needs of a store: its documents a batch at a time, and what they have to be, whichever it is.

Documents stay the bytes that the store sent: most are the same as they have to be, byte by byte, and need no second
look. :mod:`bench.evidence.mongodocuments` is the one store that there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from traffic.content import EventTable


class RawDocuments(NamedTuple):
    """Documents one behind the other; ``starts``: where each of them begins, and where the last one ends."""

    documents: bytes
    starts: NDArray[np.int64]

    def document(self, at: int) -> bytes:
        """Return one of them."""
        return self.documents[self.starts[at] : self.starts[at + 1]]


class Templates(Protocol):
    """The document of each event in a table, as the store encodes it, with what differs each time to be filled in."""

    def filled(
        self, places: NDArray[np.int64], packed: NDArray[np.int64], unix_ms: NDArray[np.int64]
    ) -> tuple[bytearray, NDArray[np.int64]]:
        """Return the documents of the events at ``places``, one behind the other, and their lengths in bytes.

        ``packed``: run, stream and sequence of each, ``unix_ms``: its timestamp.
        """


class StoredDocuments(Protocol):
    """One collection of documents in a store."""

    def batches(self) -> Iterator[RawDocuments]:
        """Return all documents that are durably there."""

    def identities(self, batch: RawDocuments) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Read the identity, ``props.tidemark``, of every document of ``batch``.

        Given are the low 64 bits of the id that it stands for (0, which is no event's, where it is out of range), and
        whether the document has the usual layout: where it has not, the first value means nothing.
        """

    def fields(self, document: bytes) -> dict[str, Any]:
        """Decode one document: ``_id`` as 24 hexadecimal digits, ``timestamp`` in milliseconds, the rest as it is.

        Where one of these two is of another kind, it is words that say so.
        """

    @staticmethod
    def templates(table: EventTable) -> Templates:
        """Return the templates of the events in ``table``."""

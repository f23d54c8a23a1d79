"""How far a system has come: by its consumer group or, where it reports no backlog, by its documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from pymongo import MongoClient

from bench.evidence.leftovers import Leftovers
from bench.retries import PATIENCE_S, answered
from pipeline.settings import Mongo

QUIET_S = 2.0
"""So long nothing may have come in until a system that reports no backlog counts as at rest."""


class Position(Protocol):
    """How far it had come at one moment."""

    @property
    def written(self) -> int:
        """Events that were accepted; as many as are stored where that is not reported."""

    @property
    def committed(self) -> int:
        """Events that were settled."""

    @property
    def backlog(self) -> int | None:
        """Events accepted and not settled; None where that is not reported."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing is on its way any more, as far as that is reported."""


class ProgressWatch(Protocol):
    """Watches one target; an async context manager, like :class:`bench.evidence.leftovers.GroupWatch`."""

    async def __aenter__(self) -> Self:
        """Connect."""

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""

    async def position(self) -> Position:
        """Return how far it has come."""

    async def leftovers(self) -> Leftovers:
        """Return what it left unsettled, after its end."""


@dataclass(frozen=True)
class StoredCount:
    """Documents, as one look counted them, and whether their number has stayed the same for a while."""

    written: int
    at_rest: bool
    backlog: None = None

    @property
    def committed(self) -> int:
        """All of them."""
        return self.written


class DocumentWatch:
    """Counts the documents of a collection, by MongoDB's own estimate, which is exact while nothing was killed."""

    def __init__(self, mongo: Mongo | None, clock: Callable[[], float] = time.monotonic) -> None:
        """``mongo``: None where the system reports no documents either; then it is at rest at once."""
        self._mongo = mongo
        self._clock = clock
        self._client: MongoClient[dict[str, Any]] | None = None
        self._last = 0
        self._since_s = clock()

    async def __aenter__(self) -> Self:
        if self._mongo is not None:
            bound_ms = self._mongo.timeout_ms
            self._client = MongoClient(
                self._mongo.uri, maxPoolSize=1, serverSelectionTimeoutMS=bound_ms, socketTimeoutMS=bound_ms
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    async def position(self) -> StoredCount:
        """Count.

        Raises:
            PyMongoError: MongoDB did not answer for a while.
        """
        if self._client is None:
            return StoredCount(0, at_rest=True)
        found = await answered(lambda: asyncio.to_thread(self._count), patience_s=PATIENCE_S)
        if found != self._last:
            self._last, self._since_s = found, self._clock()
        return StoredCount(found, at_rest=self._clock() - self._since_s >= QUIET_S)

    async def leftovers(self) -> Leftovers:
        """Return none: what is in Kafka, if anything, is not reported."""
        none = np.zeros(0, dtype=np.uint64)
        return Leftovers(none, none)

    def _count(self) -> int:
        if self._client is None or self._mongo is None:
            return 0
        return self._client[self._mongo.database][self._mongo.collection].estimated_document_count()

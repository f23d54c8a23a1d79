"""The exact number of documents in a collection, at the cost of MongoDB's estimate.

mongod keeps the estimate as a number; a count would read a whole index each time. But mongod saves the number only once
a minute, and after a kill it continues from the old number, which then stays wrong. So we count the documents once for
each start of mongod, and add the difference between that count and the estimate to every later estimate.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

_WAIT_S = 1.0  # for a count; that of a large collection continues in the background


class ExactCount:
    """Of one collection."""

    def __init__(self, collection: AsyncCollection[Mapping[str, Any]]) -> None:
        self._collection = collection
        self._life: object = None  # the start of mongod that the correction belongs to
        self._correction: int | None = None
        self._certain = False
        self._last = -1
        self._counting: asyncio.Task[None] | None = None

    async def now(self) -> int | None:
        """Return the number; None while it is not known.

        Under load, the count and the estimate are not taken at the same moment, so the number may be wrong by what came
        between. It is corrected as soon as nothing comes for a moment.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        hello = await self._collection.database.client.admin.command("hello")
        estimate = await self._collection.estimated_document_count()
        life = hello.get("topologyVersion", {}).get("processId")
        if life != self._life:
            await self.close()
            self._life, self._correction, self._certain = life, None, False
        at_rest, self._last = estimate == self._last, estimate
        if self._counting is None and not self._certain and (self._correction is None or at_rest):
            self._counting = asyncio.create_task(self._count())
        if self._counting is not None:
            done, _ = await asyncio.wait({self._counting}, timeout=_WAIT_S)
            if done:
                self._counting = None
        return None if self._correction is None else estimate + self._correction

    async def close(self) -> None:
        """End a count that is under way."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.wait({self._counting})
            self._counting = None

    async def _count(self) -> None:
        with contextlib.suppress(PyMongoError):  # the next look counts again
            before = await self._collection.estimated_document_count()
            counted = await self._collection.count_documents({}, hint="_id_")
            after = await self._collection.estimated_document_count()
            self._correction = counted - after
            self._certain = before == after

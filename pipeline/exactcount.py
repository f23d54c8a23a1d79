"""How many documents a collection holds, exactly, at the price of MongoDB's estimate.

The estimate is a number that mongod keeps; counting would read a whole index each time. But it writes that number down
once a minute only, and after it was killed goes on from the old one, wrong for ever. So the documents are counted once
in each life of a mongod, and from then on what that count and the estimate differed by is added to the estimate.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

_WAIT_S = 1.0  # for a count; a large collection's goes on beside the display


class ExactCount:
    """Of one collection."""

    def __init__(self, collection: AsyncCollection[Mapping[str, Any]]) -> None:
        self._collection = collection
        self._life: object = None  # of the mongod that the correction belongs to
        self._correction: int | None = None
        self._certain = False
        self._last = -1
        self._counting: asyncio.Task[None] | None = None

    async def now(self) -> int | None:
        """Give the number; None while it is not known.

        Under load a count and the estimate are not of the same moment: then it may be wrong by what came between, and
        is set right as soon as nothing comes for a moment.

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

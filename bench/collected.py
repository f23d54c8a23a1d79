"""The collection as the witness reads it: by ``_id``, from the primary, and only what is durable."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bson.objectid import ObjectId
from pymongo import AsyncMongoClient

from pipeline.settings import Mongo


class Collected:
    """Whether documents are there; one query at a time."""

    def __init__(self, mongo: Mongo) -> None:
        """Connect lazily, with one connection for the queries."""
        self._client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
            mongo.uri,
            appname="tidemark-witness",
            maxPoolSize=1,
            serverSelectionTimeoutMS=mongo.timeout_ms,
            socketTimeoutMS=mongo.timeout_ms,
        )
        self._database = self._client[mongo.database]
        self._collection = mongo.collection
        # A write that is acknowledged by fewer nodes may be readable for a majority only later.
        self._level = "majority" if mongo.write_concern == "majority" else "local"

    async def there(self, wanted: Sequence[ObjectId]) -> Collection[ObjectId]:
        """Give those of ``wanted`` that can be read from the primary now.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        reply = await self._database.command(
            {
                "find": self._collection,
                "filter": {"_id": {"$in": list(wanted)}},
                "projection": {"_id": 1},
                "batchSize": len(wanted) + 1,
                "singleBatch": True,
                "readConcern": {"level": self._level},
            }
        )
        return {each["_id"] for each in reply["cursor"]["firstBatch"]}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

"""Which of some events are stored: what the demonstration shop asks, so that it can show each event's whole way.

It exists only where ``api.demo`` is on. It reads by ``_id`` alone, says nothing but whether an id is there, and is
bounded: in ids a question, in questions at once, in time, and in how often it asks MongoDB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from pipeline.errors import UnavailableError
from pipeline.messages.identifiers import uuid7_document_id
from pipeline.secrecy import reason
from pipeline.settings import Mongo

MOST_IDS = 100
"""Of one question."""

_MOST_AT_ONCE = 4
_RETRY_AFTER_S = 1
_LONGEST_WAIT_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.2
_MONGO_TIMEOUT_MS = 2_000


class StoredEvents:
    """Asks the collection of events; connects with the first question."""

    def __init__(self, mongo: Mongo) -> None:
        """To be made on the event loop that it is used on."""
        self._mongo = mongo
        self._client: AsyncMongoClient[Mapping[str, Any]] | None = None
        self._asking = 0

    async def wait(self, identifiers: Mapping[ObjectId, str]) -> list[str]:
        """Return the event ids of those documents that are stored, as soon as there is one; none after 2 s.

        Stored is what a reader sees whose read concern is as strict as the workers' write concern.

        Raises:
            UnavailableError: MongoDB does not answer, or too many questions are being asked.
        """
        if self._asking >= _MOST_AT_ONCE:
            message = f"{_MOST_AT_ONCE} others are waiting for their events: try again in {_RETRY_AFTER_S} s"
            raise UnavailableError(message, _RETRY_AFTER_S)
        self._asking += 1
        try:
            return await self._until_stored(identifiers)
        except PyMongoError as error:
            message = f"MongoDB at {self._mongo.shown_uri} does not answer: {reason(error, self._mongo.uri)}"
            raise UnavailableError(message, _RETRY_AFTER_S) from error
        finally:
            self._asking -= 1

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()

    async def _until_stored(self, identifiers: Mapping[ObjectId, str]) -> list[str]:
        loop = asyncio.get_running_loop()
        until_s, pause_s = loop.time() + _LONGEST_WAIT_S, _FIRST_PAUSE_S
        while True:
            found = await self._find(identifiers)
            if found or loop.time() + pause_s > until_s:
                return found
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    async def _find(self, identifiers: Mapping[ObjectId, str]) -> list[str]:
        if self._client is None:
            self._client = AsyncMongoClient(
                self._mongo.uri,
                appname="tidemark-demo",
                maxPoolSize=_MOST_AT_ONCE,
                serverSelectionTimeoutMS=_MONGO_TIMEOUT_MS,
                timeoutMS=_MONGO_TIMEOUT_MS,
            )
        level = "majority" if self._mongo.write_concern == "majority" else "local"
        collection = self._client[self._mongo.database].get_collection(
            self._mongo.collection, read_concern=ReadConcern(level)
        )
        documents = await collection.find({"_id": {"$in": list(identifiers)}}, {"_id": 1}).to_list()
        return [identifiers[each["_id"]] for each in documents]


def read_ids(text: str) -> dict[ObjectId, str]:
    """Return the event ids in ``text``, which commas separate, each with the ``_id`` that its document has.

    Raises:
        ValueError: too many ids, or one that is no UUIDv7; the message is for the client.
    """
    event_ids = text.split(",")
    if len(event_ids) > MOST_IDS:
        raise ValueError(f"ids: send 1 to {MOST_IDS} event ids, separated by commas")
    found = {}
    for event_id in event_ids:
        identifier = uuid7_document_id(event_id)
        if identifier is None:
            raise ValueError(f"ids: {event_id[:50]!r} is no UUIDv7; send the ids that tidemark.track returned")
        found[ObjectId(identifier)] = event_id
    return found

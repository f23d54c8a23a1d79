"""The two drivers: Motor, which runs PyMongo in threads, and PyMongo's own asyncio client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from pipeline.errors import SettingError
from pipeline.secrecy import reason
from pipeline.settings import Mongo
from pipeline.store.commands import concern_of, insert_command, insert_reply, store_errors
from pipeline.store.errors import StoreAwayError
from pipeline.store.seam import Document, InsertReply

_CONTROL = "tidemark_control"
_NEVER_STORED: Document = {"_id": []}  # no server takes an array as _id
_SOCKET_GRACE_MS = 1_000  # the server's own time-out should come first: it says more


class _CommandStore:
    """What both drivers do alike; they differ in how a client is made and closed."""

    def __init__(self, client: Any, mongo: Mongo) -> None:
        self._client = client
        self._concern = concern_of(mongo)
        self._collection = mongo.collection
        self._database = client[mongo.database]
        # A document that is read back must be as durable as a written one.
        level = "majority" if mongo.write_concern == "majority" else "local"
        self._durable = self._database.get_collection(
            mongo.collection,
            codec_options=CodecOptions(document_class=RawBSONDocument),
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern(level),
        )

    async def insert(self, documents: Sequence[Document]) -> InsertReply:
        """See :class:`pipeline.store.Store`."""
        with store_errors():
            reply = await self._database.command(insert_command(self._collection, documents, self._concern))
        return insert_reply(reply, len(documents))

    async def prove_writable(self) -> None:
        """See :class:`pipeline.store.Store`."""
        identifier = ObjectId()
        with store_errors():
            control = await self._database.command(insert_command(_CONTROL, [{"_id": identifier}], self._concern))
            await self._database.command({"delete": _CONTROL, "deletes": [{"q": {"_id": identifier}, "limit": 1}]})
            refused = await self._database.command(insert_command(self._collection, [_NEVER_STORED], self._concern))
        written = insert_reply(control, 1)
        if not written.inserted:
            raise StoreAwayError(f"a control write into {_CONTROL} failed: {written.errors[0].message}")
        insert_reply(refused, 1)

    async def find(self, identifiers: Sequence[ObjectId]) -> dict[ObjectId, bytes]:
        """See :class:`pipeline.store.Store`."""
        with store_errors():
            found = await self._durable.find({"_id": {"$in": list(identifiers)}}).to_list(None)
        return {document["_id"]: document.raw for document in found}


class MotorStore(_CommandStore):
    """Motor: past its end of life, kept as the default because the project was asked for with it."""

    def __init__(self, mongo: Mongo, connections: int) -> None:
        super().__init__(_client(AsyncIOMotorClient, mongo, connections), mongo)

    async def close(self) -> None:
        """Close the connections."""
        self._client.close()


class PymongoStore(_CommandStore):
    """PyMongo's AsyncMongoClient, Motor's successor."""

    def __init__(self, mongo: Mongo, connections: int) -> None:
        super().__init__(_client(AsyncMongoClient, mongo, connections), mongo)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _client(kind: Any, mongo: Mongo, connections: int) -> Any:
    try:
        return kind(
            mongo.uri,
            appname="tidemark-worker",
            maxPoolSize=connections,
            serverSelectionTimeoutMS=mongo.timeout_ms,
            connectTimeoutMS=mongo.timeout_ms,
            socketTimeoutMS=mongo.timeout_ms + _SOCKET_GRACE_MS,
            waitQueueTimeoutMS=mongo.timeout_ms,
        )
    except (PyMongoError, ValueError, OSError) as error:  # OSError: a certificate's file
        remedy = f"{reason(error, mongo.uri)}; write a URI such as mongodb://localhost:27017/?directConnection=true"
        raise SettingError("PIPELINE_MONGO_URI", mongo.shown_uri, remedy) from None

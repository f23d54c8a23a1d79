"""The dashboard's collections beside the events, and the client that it reads and writes them with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import InvalidName, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from pipeline.dashboard.aggregate import Scale
from pipeline.errors import SettingError
from pipeline.secrecy import reason
from pipeline.settings import Mongo

Documents = AsyncCollection[Mapping[str, Any]]

_POOL = 8
_LONGEST_MS = 3_000  # a page that waits longer shows old figures instead
# Events may have dates that Python has not.
_CODEC: CodecOptions[Mapping[str, Any]] = CodecOptions(
    document_class=dict, tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


class Database:
    """The collections, named after the events': ``<collection>_minutes``, ``_days``, ``_latencies``."""

    def __init__(self, mongo: Mongo) -> None:
        """Connects on first use, not here; call it on the running event loop.

        Raises:
            SettingError: the URI cannot be used.
        """
        self.where = f"MongoDB at {mongo.shown_uri}"
        timeout_ms = min(mongo.timeout_ms, _LONGEST_MS)
        try:
            self._client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(
                mongo.uri,
                appname="tidemark-dashboard",
                maxPoolSize=_POOL,
                serverSelectionTimeoutMS=timeout_ms,
                timeoutMS=timeout_ms,
            )
            self._database = self._client.get_database(mongo.database, codec_options=_CODEC)
            self.events: Documents = self._database.get_collection(mongo.collection)
        except (PyMongoError, InvalidName, ValueError, OSError) as error:  # OSError: a certificate's file
            remedy = f"{reason(error, mongo.uri)}; write a URI such as mongodb://localhost:27017/?directConnection=true"
            raise SettingError("PIPELINE_MONGO_URI", mongo.shown_uri, remedy) from None
        self._name = mongo.collection

    def aggregates(self, scale: Scale) -> Documents:
        """The documents of a scale, read and written so that what was written once stays."""
        return self._database.get_collection(
            f"{self._name}_{scale.suffix}",
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern(w="majority", j=True),
        )

    @property
    def latencies(self) -> Documents:
        """The histograms of sampled delivery latencies, one document a minute and process."""
        return self._database.get_collection(f"{self._name}_latencies")

    @property
    def durable_events(self) -> Documents:
        """The events as they are once a majority of the replica set has them."""
        return self._database.get_collection(self._name, read_concern=ReadConcern("majority"))

    async def make_indexes(self, scales: tuple[Scale, ...]) -> None:
        """Make the indexes by which MongoDB removes what is old; what is there stays.

        Raises:
            PyMongoError: MongoDB did not answer, or refused.
        """
        for scale in scales:
            await self.aggregates(scale).create_indexes([IndexModel("expires_at", expireAfterSeconds=0)])
        await self.latencies.create_indexes([IndexModel([("at", 1)])])
        await self.latencies.create_indexes([IndexModel("expires_at", expireAfterSeconds=0)])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

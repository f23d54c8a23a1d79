"""How far the pipeline is: what was accepted into Kafka, what is stored, and what is in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import Struct
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from pipeline.messages.topics import event_topics
from pipeline.provision import partition_counts
from pipeline.settings import Settings
from pipeline.store.exactcount import ExactCount

_MEASURE_TIMEOUT_S = 5.0


class EventCounts(Struct, frozen=True):
    """Counts of events; None where the part does not answer now.

    ``accepted``: written to the event topics, by the API or by any other producer. ``stored``:
    documents in the collection. ``backlog``: records that the group has not committed.
    """

    accepted: int | None
    stored: int | None
    backlog: int | None

    def since(self, start: EventCounts) -> EventCounts:
        """Return what was accepted and stored after ``start``; the backlog stays what it is."""
        return EventCounts(
            _difference(self.accepted, start.accepted), _difference(self.stored, start.stored), self.backlog
        )


class EventCounter:
    """Measures :class:`EventCounts`; get one from :func:`open_counter`."""

    def __init__(
        self,
        settings: Settings,
        consumer: AIOKafkaConsumer,
        admin: AIOKafkaAdminClient,
        collection: AsyncCollection[Mapping[str, Any]],
    ) -> None:
        """The clients are started already, and closed by whoever made them."""
        self._consumer = consumer
        self._admin = admin
        self._stored = ExactCount(collection)
        self._group_id = settings.worker.group_id
        self._topics = event_topics(settings.kafka)

    async def measure(self) -> EventCounts:
        """Measure now; takes at most a few seconds, and raises nothing where a server is away."""
        (accepted, backlog), stored = await asyncio.gather(self._kafka(), self._mongo())
        return EventCounts(accepted, stored, backlog)

    async def _kafka(self) -> tuple[int | None, int | None]:
        """Return the records in the event topics, and how many of them are not committed."""
        with contextlib.suppress(KafkaError, KeyError, TimeoutError):  # KeyError: a topic is not there
            async with asyncio.timeout(_MEASURE_TIMEOUT_S):
                counts = await partition_counts(self._admin)
                partitions = [TopicPartition(topic, each) for topic in self._topics for each in range(counts[topic])]
                end = await self._consumer.end_offsets(partitions)
                first = await self._consumer.beginning_offsets(partitions)
                committed = await self._admin.list_consumer_group_offsets(self._group_id, partitions=partitions)
                backlog = sum(
                    # -1: nothing was committed yet, a worker would begin with the first record.
                    max(0, end[each] - max(committed[each].offset if each in committed else -1, first[each]))
                    for each in partitions
                )
                return sum(end.values()), backlog
        return None, None

    async def _mongo(self) -> int | None:
        with contextlib.suppress(PyMongoError, TimeoutError):
            async with asyncio.timeout(_MEASURE_TIMEOUT_S):
                return await self._stored.now()
        return None

    async def close(self) -> None:
        """End what is under way."""
        await self._stored.close()


@contextlib.asynccontextmanager
async def open_counter(settings: Settings) -> AsyncIterator[EventCounter]:
    """Return a counter; Kafka must be there.

    Raises:
        KafkaError: Kafka does not answer.
    """
    async with contextlib.AsyncExitStack() as cleanup:
        servers = settings.kafka.bootstrap_servers
        # Subscribed to nothing: it asks for offsets, and fetches no record.
        # Events of open or aborted transactions are not stored.
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=None, isolation_level="read_committed")
        cleanup.push_async_callback(consumer.stop)
        await consumer.start()
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        cleanup.push_async_callback(admin.close)
        await admin.start()
        client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(
            settings.mongo.uri, serverSelectionTimeoutMS=int(_MEASURE_TIMEOUT_S * 1000)
        )
        cleanup.push_async_callback(client.close)
        counter = EventCounter(settings, consumer, admin, client[settings.mongo.database][settings.mongo.collection])
        cleanup.push_async_callback(counter.close)
        yield counter


def _difference(now: int | None, start: int | None) -> int | None:
    return None if now is None else now - (start or 0)

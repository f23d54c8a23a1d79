"""What the servers must hold before the first event: topics and indexes.

All of it is idempotent: what is there already stays as it is and is reported as found.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code
from msgspec import Struct
from pymongo import AsyncMongoClient, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import InvalidName, InvalidURI, PyMongoError, ServerSelectionTimeoutError

from pipeline.errors import MissingPartError, ProvisionError, SettingError
from pipeline.messages.topics import event_topics
from pipeline.secrecy import reason
from pipeline.settings import Kafka, Mongo

# The indexes that the queries of a reader of the collection rest on.
INDEXES: tuple[tuple[str, int], ...] = (("event_type", 1), ("user_id", 1), ("timestamp", -1))

# Every dead letter is an exception: one partition keeps them in order.
DEAD_LETTER_PARTITIONS = 1

_TOPIC_ALREADY_EXISTS = 36
_DELETED_OR_UNDER_WAY = (0, 3, 7)  # no error, no such topic, not done yet
_POLL_S = 0.05


class TopicOutcome(Struct, frozen=True):
    """One topic after :func:`create_topics`: ``wanted`` partitions by the settings, ``found`` before (0: none)."""

    name: str
    wanted: int
    found: int
    partitions: int

    @property
    def made(self) -> bool:
        """Whether the topic was not there before."""
        return self.found == 0


class IndexOutcome(Struct, frozen=True):
    """One index after :func:`create_indexes`; ``direction`` is 1 or -1."""

    field: str
    direction: int
    made: bool


def wanted_topics(kafka: Kafka) -> dict[str, int]:
    """Return the name of every topic that the pipeline needs, with its number of partitions."""
    wanted = dict.fromkeys(event_topics(kafka), kafka.partitions)
    return {**wanted, kafka.dead_letter_topic: DEAD_LETTER_PARTITIONS}


@contextlib.asynccontextmanager
async def admin_client(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """Return a started admin client, and close it afterwards.

    Raises:
        MissingPartError, ProvisionError: as :func:`connected`.
    """
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=kafka.request_timeout_ms)
    async with connected(kafka, client.start, client.close):
        yield client


@contextlib.asynccontextmanager
async def connected(
    kafka: Kafka, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Start a client of Kafka for the block, and stop it afterwards.

    Raises:
        MissingPartError: nothing answers at ``kafka.bootstrap_servers`` within ``request_timeout_ms``.
        ProvisionError: Kafka answered a request inside the block with an error, or too late.
    """
    where = f"Kafka at {kafka.bootstrap_servers}"
    try:
        async with asyncio.timeout(kafka.request_timeout_ms / 1000):
            await start()
    except (KafkaConnectionError, TimeoutError, OSError) as error:
        await stop()
        message = (
            f"{where} does not answer: start it (`docker compose up kafka`, or `./tidemark up` for "
            "everything), or name another one in PIPELINE_KAFKA_BOOTSTRAP_SERVERS"
        )
        raise MissingPartError(message) from error
    try:
        yield
    except TimeoutError as error:
        message = f"{where} did not answer within {kafka.request_timeout_ms} ms (PIPELINE_KAFKA_REQUEST_TIMEOUT_MS)"
        raise ProvisionError(message) from error
    except KafkaError as error:
        raise ProvisionError(f"{where} refused: {error}") from error
    finally:
        await stop()


async def create_topics(kafka: Kafka, *, grow: bool = False) -> tuple[TopicOutcome, ...]:
    """Make the event topics and the dead-letter topic, and wait until each partition has a leader.

    ``grow`` adds partitions to a topic that has fewer than wanted; without it such a topic stays
    as it is. Nothing ever takes partitions away.

    Raises:
        MissingPartError: Kafka does not answer.
        ProvisionError: Kafka refused (too few brokers for the replication factor, say) or was too slow.
    """
    wanted = wanted_topics(kafka)
    async with admin_client(kafka) as client, asyncio.timeout(kafka.request_timeout_ms / 1000):
        found = await partition_counts(client)
        missing = {name: count for name, count in wanted.items() if name not in found}
        if missing:
            await _create(client, missing, kafka)
        too_small = {name: count for name, count in wanted.items() if grow and 0 < found.get(name, 0) < count}
        if too_small:
            await client.create_partitions({name: NewPartitions(count) for name, count in too_small.items()})
        least = {name: count if name in missing or name in too_small else 1 for name, count in wanted.items()}
        counts = await _wait_for_leaders(client, least)
    return tuple(TopicOutcome(name, wanted[name], found.get(name, 0), counts[name]) for name in wanted)


async def delete_topics(kafka: Kafka) -> None:
    """Delete every topic of ours with all that it holds, and wait until they are gone.

    Raises:
        MissingPartError, ProvisionError: as :func:`create_topics`.
    """
    async with admin_client(kafka) as client, asyncio.timeout(kafka.request_timeout_ms / 1000):
        found = await partition_counts(client)
        await remove_topics(client, [name for name in wanted_topics(kafka) if name in found])


async def remove_topics(client: AIOKafkaAdminClient, names: Collection[str]) -> None:
    """Delete the topics ``names``, and wait until they are gone; the caller bounds the time.

    Raises:
        KafkaError: Kafka refuses to delete one of them.
    """
    if not names:
        return
    response = await client.delete_topics(list(names))
    for topic, code in response.topic_error_codes:
        if code not in _DELETED_OR_UNDER_WAY:
            raise for_code(code)(f"the topic {topic} was not deleted")
    # The broker answers before its metadata have followed: until then they seem to be there still.
    await _wait_until_gone(client, names)


async def partition_counts(client: AIOKafkaAdminClient) -> dict[str, int]:
    """Return every topic's number of partitions that have a leader."""
    # Asking for all topics, never by name: to ask for a missing one by name may create it.
    described: list[Mapping[str, Any]] = await client.describe_topics()
    return {
        topic["topic"]: sum(1 for each in topic["partitions"] if each["leader"] >= 0)
        for topic in described
        if not topic["error_code"]
    }


async def _create(client: AIOKafkaAdminClient, missing: Mapping[str, int], kafka: Kafka) -> None:
    configs = {"retention.ms": str(kafka.retention_ms)}
    if kafka.min_insync_replicas:
        configs["min.insync.replicas"] = str(kafka.min_insync_replicas)
    response = await client.create_topics(
        [
            NewTopic(name, partitions, kafka.replication_factor, topic_configs=configs)
            for name, partitions in missing.items()
        ]
    )
    refused = [
        f"{topic}: {message or f'error {code}'}"
        for topic, code, message in response.topic_errors
        # Another process may have made it in the meantime: then it is there, which is what was asked.
        if code not in (0, _TOPIC_ALREADY_EXISTS)
    ]
    if refused:
        raise ProvisionError(f"Kafka at {kafka.bootstrap_servers} did not create {'; '.join(refused)}")


async def _wait_for_leaders(client: AIOKafkaAdminClient, least: Mapping[str, int]) -> dict[str, int]:
    """Wait until each topic has at least so many led partitions; the caller bounds the time."""
    while True:
        counts = await partition_counts(client)
        if all(counts.get(name, 0) >= count for name, count in least.items()):
            return counts
        await asyncio.sleep(_POLL_S)


async def _wait_until_gone(client: AIOKafkaAdminClient, names: Collection[str]) -> None:
    """Wait until none of ``names`` is a topic any more; the caller bounds the time."""
    while True:
        counts = await partition_counts(client)
        if counts.keys().isdisjoint(names):
            return
        await asyncio.sleep(_POLL_S)


@contextlib.asynccontextmanager
async def event_collection(mongo: Mongo) -> AsyncIterator[AsyncCollection[Mapping[str, Any]]]:
    """Return the collection that events are stored in, over a client that is closed afterwards.

    Raises:
        SettingError: the URI, the database or the collection has a name that cannot be.
        MissingPartError: no MongoDB that takes writes answers at ``mongo.uri`` within ``timeout_ms``.
        ProvisionError: MongoDB answered a command inside the block with an error.
    """
    try:
        client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(
            mongo.uri, serverSelectionTimeoutMS=mongo.timeout_ms, timeoutMS=mongo.timeout_ms, tz_aware=True
        )
    except (InvalidURI, MongoConfigurationError, ValueError, OSError) as error:  # OSError: a certificate's file
        raise SettingError(
            "PIPELINE_MONGO_URI", mongo.shown_uri, f"{reason(error, mongo.uri)}; write mongodb://HOST:PORT"
        ) from None
    async with client:
        try:
            yield client[mongo.database][mongo.collection]
        except InvalidName as error:
            raise SettingError("PIPELINE_MONGO_DATABASE", f"{mongo.database}.{mongo.collection}", str(error)) from error
        except ServerSelectionTimeoutError as error:
            message = (
                f"MongoDB at {mongo.shown_uri} does not answer: start it (`docker compose up mongodb`, or "
                "`./tidemark up` for everything), or name another one in PIPELINE_MONGO_URI"
            )
            raise MissingPartError(message) from error
        except PyMongoError as error:
            raise ProvisionError(f"MongoDB at {mongo.shown_uri} refused: {reason(error, mongo.uri)}") from error


async def create_indexes(mongo: Mongo) -> tuple[IndexOutcome, ...]:
    """Make the indexes of :data:`INDEXES` where they are missing.

    Raises:
        SettingError, MissingPartError, ProvisionError: as :func:`event_collection`.
    """
    async with event_collection(mongo) as collection:
        missing = await missing_indexes(collection)
        if missing:
            await collection.create_indexes([IndexModel([index]) for index in missing])
    return tuple(IndexOutcome(*index, made=index in missing) for index in INDEXES)


async def missing_indexes(collection: AsyncCollection[Mapping[str, Any]]) -> tuple[tuple[str, int], ...]:
    """Return those of :data:`INDEXES` that ``collection`` does not have."""
    there = [tuple(index["key"].items()) async for index in await collection.list_indexes()]
    return tuple(index for index in INDEXES if (index,) not in there)

"""The dead-letter topic as a person uses it: read what is in it, and send it to its origin again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, OffsetAndMetadata, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Struct

from pipeline import provision
from pipeline.bounded import bounded
from pipeline.errors import ProvisionError
from pipeline.messages import letter as letters_in_kafka
from pipeline.messages.origin import MOST_OFFSET, MOST_PARTITION, Origin, number_of
from pipeline.settings import Settings

_FETCH_AT_ONCE = 500
_MAX_REQUEST_BYTES = 64 * 1024 * 1024


class DeadLetter(Struct, frozen=True):
    """One message that a worker could not store.

    ``origin_*`` is where it was read; -1 and "" if that is not known. ``headers`` and ``record_timestamp_ms`` are those
    of the original record (-1: not known). ``truncated``: the value is only the beginning of the original one.
    """

    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    detail: str
    origin_topic: str
    origin_partition: int
    origin_offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    record_timestamp_ms: int
    replayed: bool
    truncated: bool


class Listing(Struct, frozen=True):
    """The dead letters asked for, and how many the topic holds in all."""

    letters: tuple[DeadLetter, ...]
    total: int


class Replay(Struct, frozen=True):
    """What a replay did: those sent (or to be sent, in a dry run), those held back with why, and how many are left."""

    sent: tuple[DeadLetter, ...]
    held_back: tuple[tuple[DeadLetter, str], ...]
    left: int


async def listing(settings: Settings, limit: int) -> Listing:
    """Read the first ``limit`` dead letters.

    Raises:
        MissingPartError: Kafka does not answer.
        ProvisionError: there is no dead-letter topic, or Kafka was too slow.
    """
    async with _reader(settings) as reader:
        first = await reader.consumer.beginning_offsets(reader.partitions)
        letters = await _read(reader, first, limit)
        return Listing(tuple(letters), sum(reader.end[each] - first[each] for each in reader.partitions))


async def replay(settings: Settings, limit: int, *, dry_run: bool = False, again: bool = False) -> Replay:
    """Send the next ``limit`` dead letters to their topics: key, value, headers and time as they were.

    How far it got is committed to Kafka, so that the next replay goes on there; ``again`` begins with
    the oldest once more. A letter that is refused again comes back as a new dead letter.

    Raises:
        MissingPartError: Kafka does not answer.
        ProvisionError: there is no dead-letter topic, Kafka was too slow, or it refused a message.
    """
    async with _reader(settings) as reader:
        first = await reader.consumer.beginning_offsets(reader.partitions)
        start = first if again else {each: max(first[each], reader.replayed[each]) for each in reader.partitions}
        letters = await _read(reader, start, limit)
        topics = await reader.consumer.topics()
        obstacles = [_obstacle(each, topics) for each in letters]
        sendable = [letter for letter, obstacle in zip(letters, obstacles, strict=True) if not obstacle]
        held_back = [(letter, obstacle) for letter, obstacle in zip(letters, obstacles, strict=True) if obstacle]
        if not dry_run and letters:
            await _send(settings, sendable)
            ends = {TopicPartition(reader.topic, each.partition): each.offset + 1 for each in letters}
            await reader.consumer.commit({each: OffsetAndMetadata(offset, "") for each, offset in ends.items()})
        left = sum(reader.end[each] - start[each] for each in reader.partitions) - len(letters)
        return Replay(tuple(sendable), tuple(held_back), left)


class _Reader(Struct):
    consumer: AIOKafkaConsumer
    topic: str
    partitions: list[TopicPartition]
    end: dict[TopicPartition, int]
    replayed: dict[TopicPartition, int]
    timeout_ms: int


@contextlib.asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[_Reader]:
    """Return a consumer of the whole topic, in no rebalance with anyone, and how far the topic goes now."""
    kafka = settings.kafka
    topic = kafka.dead_letter_topic
    async with provision.admin_client(kafka) as admin:
        counts = await provision.partition_counts(admin)
    if topic not in counts:
        message = f"Kafka at {kafka.bootstrap_servers} has no topic {topic!r}: run `./tidemark init`"
        raise ProvisionError(message)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=f"{settings.worker.group_id}.dead_letters",
        enable_auto_commit=False,
        request_timeout_ms=kafka.request_timeout_ms,
    )
    async with provision.connected(kafka, consumer.start, consumer.stop):
        partitions = [TopicPartition(topic, each) for each in range(counts[topic])]
        consumer.assign(partitions)
        end = await consumer.end_offsets(partitions)
        replayed = {each: await consumer.committed(each) or 0 for each in partitions}
        yield _Reader(consumer, topic, partitions, end, replayed, kafka.request_timeout_ms)


async def _read(reader: _Reader, start: dict[TopicPartition, int], limit: int) -> list[DeadLetter]:
    """Read from ``start`` to the end as it was when we came, at most ``limit``; oldest first in a partition."""
    letters: list[DeadLetter] = []
    for partition in reader.partitions:
        reader.consumer.pause(*(each for each in reader.partitions if each != partition))
        reader.consumer.resume(partition)
        reader.consumer.seek(partition, start[partition])
        end = reader.end[partition]
        while len(letters) < limit and await reader.consumer.position(partition) < end:
            at_most = min(_FETCH_AT_ONCE, limit - len(letters))
            fetched = await reader.consumer.getmany(partition, timeout_ms=reader.timeout_ms, max_records=at_most)
            if not fetched:
                raise TimeoutError
            letters.extend(
                _letter(record, replayed=record.offset < reader.replayed[partition])
                for record in fetched[partition]
                if record.offset < end
            )
    return letters


async def _send(settings: Settings, letters: Iterable[DeadLetter]) -> None:
    kafka = settings.kafka
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        # A message that fitted into Kafka as a part of a compressed batch must fit once more.
        compression_type="gzip",
        max_request_size=_MAX_REQUEST_BYTES,
        request_timeout_ms=kafka.request_timeout_ms,
    )
    timeout_s = kafka.request_timeout_ms / 1000
    await bounded(producer.start(), timeout_s)
    try:
        for letter in letters:
            origin = Origin(letter.origin_topic, letter.origin_partition, letter.origin_offset)
            # A letter from an older version lacks the time of its record.
            timestamp_ms = letter.timestamp_ms if letter.record_timestamp_ms < 0 else letter.record_timestamp_ms
            sending = producer.send_and_wait(
                letter.origin_topic,
                letter.value,
                key=letter.key,
                timestamp_ms=timestamp_ms,
                headers=[*letter.headers, origin.header()],
            )
            await bounded(sending, timeout_s)
    finally:
        # With the broker away it may hang: what was to be sent is known by now.
        with contextlib.suppress(KafkaError, TimeoutError):
            await bounded(producer.stop(), timeout_s)


def _obstacle(letter: DeadLetter, topics: Collection[str]) -> str:
    """Say why ``letter`` cannot be sent again; nothing if it can."""
    if letter.truncated:
        return "its value was too large for Kafka and is cut"
    if letter.origin_topic not in topics:
        return f"its topic {letter.origin_topic!r} is not there"
    return ""


def _letter(record: ConsumerRecord, *, replayed: bool) -> DeadLetter:
    headers = letters_in_kafka.texts_of(record.headers)
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        reason=headers.get("reason", "not known"),
        detail=headers.get("detail", ""),
        origin_topic=headers.get("topic", ""),
        origin_partition=_number(headers.get("partition", ""), MOST_PARTITION),
        origin_offset=_number(headers.get("offset", ""), MOST_OFFSET),
        key=record.key,
        value=record.value,
        headers=letters_in_kafka.own_headers_of(record.headers),
        record_timestamp_ms=_number(headers.get("timestamp", ""), MOST_OFFSET),
        replayed=replayed,
        truncated=letters_in_kafka.CUT in headers,
    )


def _number(text: str, most: int) -> int:
    number = number_of(text, most)
    return -1 if number is None else number

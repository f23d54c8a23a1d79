"""Records that Kafka deleted before the consumer group read them; later offsets do not show it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from msgspec import Struct

from pipeline.messages.groupnotes import read_note
from pipeline.messages.topics import event_topics
from pipeline.settings import Kafka

_RETRY_S = 0.1


class Missed(Struct, frozen=True):
    """``records`` of one partition; the last of them had the offsets from ``first`` to ``last``."""

    topic: str
    partition: int
    records: int
    first: int
    last: int

    def words(self) -> str:
        """Describe them in a sentence."""
        place = f"{self.topic}, partition {self.partition}, offsets {self.first} to {self.last}"
        return f"{self.records:,} records of {place} were deleted before a worker read them"


async def missed(
    client: AIOKafkaAdminClient, kafka: Kafka, group_id: str, partition_counts: Mapping[str, int]
) -> tuple[Missed, ...]:
    """Return records that the group will find missing, and those that its workers noted within the retention time.

    Raises:
        KafkaError: Kafka did not answer; bound the time.
    """
    partitions = [
        TopicPartition(topic, n) for topic in event_topics(kafka) for n in range(partition_counts.get(topic, 0))
    ]
    committed = await group_offsets(client, group_id)
    read = [each for each in partitions if each in committed and committed[each].offset >= 0]
    if not read:
        return ()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=None)
    try:
        await consumer.start()
        beginnings = await consumer.beginning_offsets(read)
    finally:
        await consumer.stop()
    return tuple(
        one
        for each in read
        if (one := _missed(each, committed[each], beginnings[each], kafka.retention_ms)) is not None
    )


async def group_offsets(client: AIOKafkaAdminClient, group_id: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the offsets that the group has committed; wait while Kafka loads them.

    Raises:
        KafkaError: Kafka did not answer; bound the time.
    """
    while True:
        try:
            offsets: dict[TopicPartition, OffsetAndMetadata] = await client.list_consumer_group_offsets(group_id)
        except (GroupLoadInProgressError, GroupCoordinatorNotAvailableError):  # a fresh broker's first group
            await asyncio.sleep(_RETRY_S)
        else:
            return offsets


def _missed(partition: TopicPartition, committed: OffsetAndMetadata, beginning: int, kept_ms: int) -> Missed | None:
    note = read_note(committed.metadata)
    still = max(beginning - committed.offset, 0)
    recent = note.skipped and (kept_ms < 0 or time.time_ns() // 1_000_000 - note.at_ms <= kept_ms)
    records = still + (note.skipped if recent else 0)
    if not records:
        return None
    first, end = (committed.offset, beginning) if still else (note.first, note.end)
    return Missed(partition.topic, partition.partition, records, first, end - 1)

"""A commit of a worker counts for the member that it was made for, and for no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.errors import CommitFailedError
from msgspec import structs

from pipeline.settings import Settings
from pipeline.worker import membership

SESSION_S = 6  # the shortest that a broker allows


class Quiet(ConsumerRebalanceListener):
    """Does nothing when partitions come and go."""

    async def on_partitions_revoked(self, revoked: Any) -> None: ...

    async def on_partitions_assigned(self, assigned: Any) -> None: ...


async def joined(settings: Settings) -> AIOKafkaConsumer:
    consumer = membership.new_consumer(settings, Quiet(), "a-member")
    await consumer.start()
    async with asyncio.timeout(30):
        while not consumer.assignment():  # noqa: ASYNC110  it sets no event
            await asyncio.sleep(0.05)
    return consumer


def at(offset: int, partition: TopicPartition) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset, "")}


@pytest.mark.slow
async def test_a_commit_that_waited_until_its_member_was_out_of_the_group_changes_nothing(
    settings: Settings, kafka: Any
) -> None:
    settings = structs.replace(settings, worker=structs.replace(settings.worker, session_timeout_ms=1_000 * SESSION_S))
    partition = TopicPartition(kafka.topic(), 0)
    frozen = await joined(settings)
    coordinator: Any = frozen._coordinator
    try:
        await membership.commit(frozen, at(5, partition))
        async with coordinator._commit_lock:  # as while a rebalance is under way
            late = asyncio.create_task(membership.commit(frozen, at(7, partition)))
            coordinator._heartbeat_task.cancel()  # as if the process were stopped
            await asyncio.sleep(SESSION_S + 2)
            other = await joined(settings)
            await membership.commit(other, at(30, partition))
            await other.stop()
            coordinator.reset_generation()  # what an answer to a heartbeat makes it do
        with pytest.raises(CommitFailedError):
            await late
        assert (await asyncio.to_thread(kafka.committed))[0] == 30
    finally:
        await membership.end(frozen, 5)

"""A connection to Kafka: when a round need not wait for others, long names of users, and how it is given up."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.structs import TopicPartition

from pipeline.ingest.admission import Admission
from pipeline.ingest.publishing import connection as connections
from pipeline.ingest.publishing.brokersender import BrokerSender
from pipeline.ingest.publishing.connection import Connection
from pipeline.ingest.publishing.submission import Records
from pipeline.ingest.slices import TimeSlices
from pipeline.settings import Settings


class _Silent:
    """A producer with one partition a topic, whose Kafka never answers."""

    def __init__(self) -> None:
        cluster = SimpleNamespace(
            partitions_for_topic=lambda _: {0}, leader_for_partition=lambda _: 0, add_listener=lambda _: None
        )
        self.client = SimpleNamespace(cluster=cluster)

    def create_batch(self) -> Any:
        return SimpleNamespace(append=lambda **_: object(), close=lambda: None)

    async def send_batch(self, *_: Any, **__: Any) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


async def test_a_round_is_flushed_once_half_of_the_clients_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []

    def flush(broker_sender: BrokerSender) -> None:
        flushed.append(broker_sender)

    monkeypatch.setattr(BrokerSender, "flush", flush)
    producer: Any = _Silent()
    connection = Connection(Settings(), producer, lambda: 6)
    admission = Admission(100, 1 << 20, shared=False)
    after_each = []
    waiting = []
    for _ in range(4):
        submission = connection.publish(Records(["events_signup"], ["7"], [b"{}"]), 0, admission.open(""))
        waiting.append(asyncio.ensure_future(submission.wait()))
        await asyncio.sleep(0)
        after_each.append(len(flushed))
    assert after_each == [0, 0, 1, 2]


async def test_long_names_of_users_leave_the_loop_its_turns() -> None:
    producer: Any = _Silent()
    connection = Connection(Settings(), producer, lambda: 6)
    users = ["ü" * 250 + str(each) for each in range(2_000)]
    loop_turns = 0

    async def others() -> None:
        nonlocal loop_turns
        while True:
            loop_turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    began = time.process_time()
    await connection.prepare(Records(["events_signup"] * len(users), users, [b"{}"] * len(users)), TimeSlices(1.0))
    cpu_s = time.process_time() - began
    other.cancel()
    assert loop_turns > cpu_s / 0.05


async def test_batches_that_wait_to_be_sent_again_are_given_up_without_a_traceback() -> None:
    failed: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    accumulator = MessageAccumulator(ClusterMetadata(), 1_000, 0, 30)
    partition = TopicPartition("events", 0)
    builder = accumulator.create_builder()
    builder.append(timestamp=1, key=b"key", value=b"{}")
    acknowledgement = await accumulator.add_batch(builder, partition, 10)
    accumulator.reenqueue(accumulator._pop_batch(partition))
    connections._fail_all(accumulator, KafkaConnectionError("gone"))
    await asyncio.sleep(0)
    assert isinstance(acknowledgement.exception(), KafkaConnectionError)
    assert not failed

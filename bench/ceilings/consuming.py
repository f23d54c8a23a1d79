"""The bare consumer: everything that the topics hold, read with aiokafka's getmany, as bytes or decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from bench.ceilings import material, meter
from bench.ceilings.meter import LoopMeasurement, Meter
from bench.ceilings.task import Deadline, Task
from bench.errors import RepeatError
from pipeline.messages.events import Event
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings

_STOP_S = 5.0
_decode = msgspec.json.Decoder(Event).decode


async def measure(task: Task, settings: Settings) -> LoopMeasurement:
    """Read the topics of ``settings``, which are filled, from their beginning: a part of them as warm-up, then all.

    Raises:
        RepeatError: the topics are empty, or nothing comes.
    """
    reader = Meter(task.pids)
    await _read(task, settings, task.loop.warm_up, reader)
    material.settle()
    return await _read(task, settings, task.loop.events, reader)


async def _read(task: Task, settings: Settings, events: int, reader: Meter) -> LoopMeasurement:
    """Read up to ``events`` events with a new consumer; its clock begins before its first fetch."""
    worker = settings.worker
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        group_id=None,
        client_id="tidemark-ceiling",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_min_bytes=worker.fetch_min_bytes,
        fetch_max_wait_ms=worker.fetch_max_wait_ms,
        max_partition_fetch_bytes=worker.max_partition_fetch_bytes,
        request_timeout_ms=max(settings.kafka.request_timeout_ms, worker.fetch_max_wait_ms + 1_000),
    )
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, number)
            for topic in event_topics(settings.kafka)
            for number in range(settings.kafka.partitions)
        ]
        wanted = min(events, sum((await consumer.end_offsets(partitions)).values()))
        if not wanted:
            raise RepeatError("the topics that are to be read are empty")
        before, taken = reader.read(), 0
        consumer.assign(partitions)
        deadline = Deadline(task.longest_s)
        while taken < wanted and not deadline.passed:
            fetched = await consumer.getmany(timeout_ms=worker.fetch_max_wait_ms, max_records=worker.batch_max_events)
            taken += _take(fetched, decoded=task.loop.decoded)
        after = reader.read()
    finally:
        await asyncio.wait_for(consumer.stop(), _STOP_S)
    if not taken:
        raise RepeatError(f"Kafka at {settings.kafka.bootstrap_servers} gave no record within {task.longest_s:g} s")
    return meter.measured(before, after, taken)


def _take(fetched: Mapping[TopicPartition, Sequence[Any]], *, decoded: bool) -> int:
    """Count the records, and decode each if that is asked for."""
    if decoded:
        for records in fetched.values():
            for record in records:
                _decode(record.value)
    return sum(map(len, fetched.values()))

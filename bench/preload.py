"""Fills the topics before a drain: events straight into Kafka, spread evenly over partitions, with a ledger."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import defaultdict
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from msgspec import Struct

from loadtest._content import Content
from loadtest._ledger import LedgerHead, LedgerWriter, Outcome
from loadtest._spec import LoadSpec
from pipeline.settings import Kafka
from pipeline.topics import event_topics, topic_of

_CHUNK_EVENTS = 3_000
_BATCH_BYTES = 512 * 1024
_TIMEOUT_S = 60.0

Position = tuple[str, int]  # topic and partition
Record = tuple[bytes, bytes]  # key and value


class _Routing(Struct, gc=False):
    """What of an event decides its topic and its key."""

    event: str
    user_id: str


class Placement:
    """Decides the partition of each event: in turn, so that all get alike, or by key, as the API does it."""

    def __init__(self, kafka: Kafka, *, by_key: bool) -> None:
        self._kafka = kafka
        self._partitions = list(range(kafka.partitions))
        self._turns = None if by_key else {each: itertools.cycle(self._partitions) for each in event_topics(kafka)}
        self._by_key = DefaultPartitioner()

    def position_of(self, event_type: str, key: bytes) -> Position:
        """Give topic and partition."""
        topic = topic_of(event_type, self._kafka)
        if self._turns is None:
            return topic, self._by_key(key, self._partitions, self._partitions)
        return topic, next(self._turns[topic])


async def preload(kafka: Kafka, spec: LoadSpec, events: int, ledger: Path) -> None:
    """Write ``events`` events of ``spec`` to the event topics and say in ``ledger`` which were acknowledged.

    The messages are those that the API would write, spread evenly over partitions; if the traffic has a
    key skew, by key. Each is offered when its batch is sent.

    Raises:
        KafkaError, TimeoutError: Kafka did not acknowledge; the ledger then has no tail.
    """
    head = LedgerHead(
        spec=spec,
        index=0,
        count=1,
        epoch_monotonic_ns=time.monotonic_ns(),
        epoch_unix_ns=time.time_ns(),
        pid=os.getpid(),
    )
    content = Content(spec.traffic, spec.seed, spec.run)
    writer = LedgerWriter(ledger, head)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=kafka.request_timeout_ms,
    )
    await producer.start()
    try:
        placement = Placement(kafka, by_key=spec.traffic.key_skew > 0)
        for first in range(0, events, _CHUNK_EVENTS):
            count = min(_CHUNK_EVENTS, events - first)
            sent_ns = time.monotonic_ns() - head.epoch_monotonic_ns
            chunk = _chunk(content, first, count, (head.epoch_unix_ns + sent_ns) // 1_000_000, placement)
            async with asyncio.timeout(_TIMEOUT_S):
                await _send(producer, chunk)
            answered_ns = time.monotonic_ns() - head.epoch_monotonic_ns
            writer.record(first, count, sent_ns, sent_ns, answered_ns, Outcome.ACCEPTED)
        writer.close(events)
    finally:
        await asyncio.wait_for(producer.stop(), _TIMEOUT_S)


def _chunk(
    content: Content, first: int, count: int, unix_ms: int, placement: Placement
) -> dict[Position, list[Record]]:
    """Make the records of ``count`` events, by where they go."""
    decoder = msgspec.json.Decoder(_Routing)
    chunk: dict[Position, list[Record]] = defaultdict(list)
    for value in content.encode_many(0, first, count, unix_ms):
        routing = decoder.decode(value)
        key = routing.user_id.encode()
        chunk[placement.position_of(routing.event, key)].append((key, value))
    return chunk


async def _send(producer: AIOKafkaProducer, chunk: dict[Position, list[Record]]) -> None:
    """Send a chunk, and return when all of it is acknowledged."""
    futures = []
    now_ms = time.time_ns() // 1_000_000
    for (topic, partition), records in chunk.items():
        batch = producer.create_batch()
        for key, value in records:
            if batch.append(key=key, value=value, timestamp=now_ms) is None:  # the batch is full
                futures.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=now_ms)
        futures.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*futures)

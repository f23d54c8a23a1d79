"""Fills the topics before a drain: events straight into Kafka, spread evenly over partitions, with a ledger."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from numpy.typing import NDArray

from bench.retries import answered
from pipeline.messages.topics import event_topics, topic_of
from pipeline.settings import Kafka
from traffic.content import Content
from traffic.ledger import LedgerHead, LedgerWriter, Outcome
from traffic.spec import LoadSpec

_CHUNK_EVENTS = 9_000
_CHUNK_BYTES = 3 * 1024 * 1024
_SMALLEST_EVENT_BYTES = 230
_BATCH_BYTES = 512 * 1024
_RETRY_MS = 20
_TIMEOUT_S = 60.0
_AWAY_MS = 40_000

Position = tuple[str, int]  # topic and partition
Record = tuple[bytes, bytes]  # key and value


class Placement:
    """Decides the partition of each event: in turn, so that all get alike, or by key, as the API does it.

    What is decided by the event alone is decided once for each *place* in the table of contents.
    """

    def __init__(self, kafka: Kafka, content: Content, *, by_key: bool) -> None:
        self._partitions = kafka.partitions
        self._topics = event_topics(kafka)
        numbers = {topic: number for number, topic in enumerate(self._topics)}
        steps = content.table.steps
        types = {each: numbers[topic_of(each, kafka)] for each in {step.event_type for step in steps}}
        self._topic_of_place = np.array([types[step.event_type] for step in steps], dtype=np.int64)
        users = [step.user_id for step in steps]
        self._partition_of_place = _by_key(users, kafka.partitions) if by_key else None
        self._turns = [0] * len(self._topics)

    def positions(self, places: NDArray[np.int64]) -> Iterator[tuple[Position, NDArray[np.int64]]]:
        """Return, for the next events, topic and partition with the indexes in ``places`` of those that go there."""
        topics = self._topic_of_place[places]
        for number, topic in enumerate(self._topics):
            own = np.flatnonzero(topics == number)
            if self._partition_of_place is None:
                partitions = (self._turns[number] + np.arange(len(own))) % self._partitions
                self._turns[number] += len(own)
            else:
                partitions = self._partition_of_place[places[own]]
            for partition in np.unique(partitions).tolist():
                yield (topic, partition), own[partitions == partition]


@dataclass(frozen=True)
class _Chunk:
    """Consecutive events on their way: when they were sent (ns from the epoch), and what waits for them."""

    first: int
    count: int
    sent_ns: int
    acknowledged: asyncio.Future[list[object]]


class _Preload:
    """Writes chunk after chunk; each is encoded while the one before it is on its way."""

    def __init__(self, producer: AIOKafkaProducer, content: Content, placement: Placement, head: LedgerHead) -> None:
        self._producer = producer
        self._content = content
        self._placement = placement
        self._head = head
        self._keys = [step.user_id.encode() for step in content.table.steps]

    async def write(self, events: int, writer: LedgerWriter) -> None:
        """Write ``events`` events, and each chunk's line in the ledger when all of it is acknowledged."""
        event_bytes = max(self._head.spec.traffic.payload_bytes, _SMALLEST_EVENT_BYTES)
        step = min(_CHUNK_EVENTS, max(1, _CHUNK_BYTES // event_bytes))
        under_way: _Chunk | None = None
        for first in range(0, events, step):
            chunk = await self._send(first, min(step, events - first))
            if under_way is not None:
                await self._settle(under_way, writer)
            under_way = chunk
        if under_way is not None:
            await self._settle(under_way, writer)

    async def _send(self, first: int, count: int) -> _Chunk:
        """Put a chunk on the wire."""
        sent_ns = self._now_ns()
        unix_ms = (self._head.epoch_unix_ns + sent_ns) // 1_000_000
        values = self._content.encode_many(0, first, count, unix_ms)
        sequences = np.arange(first, first + count)
        places = self._content.places(np.zeros_like(sequences), sequences)
        keys = [self._keys[place] for place in places.tolist()]
        futures = []
        for (topic, partition), own in self._placement.positions(places):
            for batch in self._batches([(keys[each], values[each]) for each in own.tolist()]):
                futures.append(await self._producer.send_batch(batch, topic, partition=partition))
                await asyncio.sleep(0)  # what was handed over before goes on its way
        return _Chunk(first, count, sent_ns, asyncio.gather(*futures))

    def _batches(self, records: list[Record]) -> Iterator[BatchBuilder]:
        """Return the records of one partition, in order, as batches that the broker takes."""
        now_ms = time.time_ns() // 1_000_000
        batch = self._producer.create_batch()
        for key, value in records:
            if batch.append(key=key, value=value, timestamp=now_ms) is None:  # the batch is full
                yield batch
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=now_ms)
        yield batch

    async def _settle(self, chunk: _Chunk, writer: LedgerWriter) -> None:
        async with asyncio.timeout(_TIMEOUT_S):
            await chunk.acknowledged
        writer.record(chunk.first, chunk.count, chunk.sent_ns, chunk.sent_ns, self._now_ns(), Outcome.ACCEPTED)

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self._head.epoch_monotonic_ns


async def preload(kafka: Kafka, spec: LoadSpec, events: int, ledger: Path) -> None:
    """Write ``events`` events of ``spec`` to the event topics and say in ``ledger`` which were acknowledged.

    The messages are those that the API would write, spread evenly over partitions; if the traffic has a
    key skew, by key. Each is offered when its chunk is sent.

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
        retry_backoff_ms=_RETRY_MS,  # a topic made just now: its leader may not know yet that it is
        request_timeout_ms=max(kafka.request_timeout_ms, _AWAY_MS),  # an election of leaders takes some time
    )
    await answered(producer.start, patience_s=_TIMEOUT_S)
    try:
        placement = Placement(kafka, content, by_key=spec.traffic.key_skew > 0)
        await _Preload(producer, content, placement, head).write(events, writer)
        writer.close(events)
    finally:
        await asyncio.wait_for(producer.stop(), _TIMEOUT_S)


def _by_key(user_ids: Sequence[str], partitions: int) -> NDArray[np.int64]:
    """Return the partition of each key as the API's producer chooses it; keys come often, and are hashed once."""
    choose, choices = DefaultPartitioner(), list(range(partitions))
    chosen = {each: choose(each.encode(), choices, choices) for each in set(user_ids)}
    return np.array([chosen[each] for each in user_ids], dtype=np.int64)

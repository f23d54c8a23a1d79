"""One broker's share of the way into Kafka: what arrives during one round trip makes up the next.

aiokafka has one request to a broker under way at a time. Gathering the next one here, over all
requests and partitions, costs less than half of its ``send`` (two coroutines and a future an event),
has no herd of waiters at a full batch, and leaves one batch a partition in the producer's own queue.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from typing import Protocol

from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata, TopicPartition

from pipeline.ingest.submission import Record, Submission

Acknowledgement = asyncio.Future[RecordMetadata | None]


class BatchBuilder(Protocol):
    """What is used of aiokafka's builder of batches."""

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None) -> object | None:
        """Add one record; None when the batch is full."""

    def close(self) -> None:
        """Take no more."""


class Producer(Protocol):
    """What is used of aiokafka's producer."""

    def create_batch(self) -> BatchBuilder:
        """Give an empty batch."""

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Acknowledgement:
        """Hand over a batch; the future tells when Kafka has acknowledged it."""


class Batch:
    """Records for one partition, and which events of which submissions they are."""

    __slots__ = ("builder", "parts")

    def __init__(self, builder: BatchBuilder) -> None:
        """An empty batch."""
        self.builder = builder
        self.parts: list[tuple[Submission, list[int]]] = []

    def add(self, submission: Submission, record: Record, timestamp_ms: int) -> bool:
        """Add ``record``; False when the batch is full."""
        if self.builder.append(timestamp=timestamp_ms, key=record.key, value=record.value) is None:
            return False
        if self.parts and self.parts[-1][0] is submission:
            self.parts[-1][1].append(record.place)
        else:
            self.parts.append((submission, [record.place]))
        return True

    def settle(self, failure: str | None) -> None:
        """Tell every submission what became of its events in this batch; only the first time counts."""
        parts, self.parts = self.parts, []
        for submission, places in parts:
            submission.settle(places, failure)


class Outlet:
    """Gathers records by partition and sends them in rounds, a batch of each partition in each."""

    def __init__(self, producer: Producer, *, linger_s: float, timeout_s: float) -> None:
        """``linger_s``: how long a round waits for company. ``timeout_s``: for Kafka's answer to a round."""
        self._producer = producer
        self._linger_s = linger_s
        self._timeout_s = timeout_s
        self._queues: dict[TopicPartition, deque[Batch]] = {}
        self._sent: list[Batch] = []
        self._arrived = asyncio.Event()
        self._filled = asyncio.Event()
        self.idle = asyncio.Event()  # nothing is queued, or sent and not yet acknowledged
        self.idle.set()

    def add(self, to: TopicPartition, submission: Submission, record: Record, timestamp_ms: int) -> None:
        """Queue one record. Never waits: admission bounds what all queues together hold."""
        queue = self._queues.get(to)
        if queue is None:
            queue = self._queues[to] = deque()
            self._arrived.set()
            self.idle.clear()
        elif queue[-1].add(submission, record, timestamp_ms):
            return
        else:
            self._filled.set()
        batch = Batch(self._producer.create_batch())
        batch.add(submission, record, timestamp_ms)
        queue.append(batch)

    async def run(self) -> None:
        """Send round after round, until a batch fails.

        Raises:
            KafkaError: a batch handed over was not taken. The producer counts the records of each
                partition, so that after a gap Kafka would refuse all that follow: it must be replaced.
            TimeoutError: Kafka did not answer for a batch in time.
        """
        while True:
            await self._arrived.wait()
            if self._linger_s and not self._filled.is_set():
                await self._linger()
            await self._round()
            if not self._queues:
                self.idle.set()

    def fail(self, failure: str) -> None:
        """Settle all that is queued, or sent and not acknowledged, as failed."""
        for batch in self._sent:
            batch.settle(failure)
        for queue in self._queues.values():
            for batch in queue:
                batch.settle(failure)
        self._queues.clear()
        self.idle.set()

    async def _round(self) -> None:
        acknowledgements = []
        for to, batch in self._take():
            batch.builder.close()
            self._sent.append(batch)
            try:
                acknowledged = await self._producer.send_batch(batch.builder, to.topic, partition=to.partition)
            except KafkaError as error:  # not handed over: nothing of it was counted or sent
                batch.settle(f"topic {to.topic}: {error}")
                continue
            acknowledged.add_done_callback(functools.partial(_settle, batch))
            acknowledgements.append(acknowledged)
        if acknowledgements:
            answered, late = await asyncio.wait(acknowledgements, timeout=self._timeout_s)
            if late:
                raise TimeoutError(f"no answer for {len(late)} batches in {self._timeout_s:g} s")
            for each in answered:
                each.result()
        self._sent.clear()

    def _take(self) -> list[tuple[TopicPartition, Batch]]:
        """Take the oldest batch of every partition out of the queues."""
        taken = [(to, queue.popleft()) for to, queue in self._queues.items()]
        self._queues = {to: queue for to, queue in self._queues.items() if queue}
        self._filled.clear()
        if not self._queues:
            self._arrived.clear()
        return taken

    async def _linger(self) -> None:
        """Wait until the round has had its time for company, or a batch is full."""
        try:
            async with asyncio.timeout(self._linger_s):
                await self._filled.wait()
        except TimeoutError:
            return


def _settle(batch: Batch, answered: Acknowledgement) -> None:
    if answered.cancelled():
        return  # its connection is being given up, which settles it
    failure = answered.exception()
    batch.settle(None if failure is None else f"Kafka did not take it: {failure}")

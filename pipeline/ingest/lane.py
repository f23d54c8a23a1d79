"""One partition's way into Kafka: what arrives while a batch is on its way makes up the next batch.

aiokafka sends one batch of a partition at a time anyway. Gathering the next one here, over all
requests, costs a fraction of its ``send`` (a future and two coroutines an event), has no herd of
waiters at a full batch, and leaves only one batch a partition in the producer's own queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from pipeline.ingest.submission import Record, Submission


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

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata | None]:
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
        """Tell every submission what became of its events in this batch."""
        for submission, places in self.parts:
            submission.settle(places, failure)
        self.parts.clear()


class Lane:
    """Gathers the records of one partition in batches and sends these one after the other."""

    def __init__(self, producer: Producer, topic: str, partition: int, *, linger_s: float, timeout_s: float) -> None:
        """``linger_s``: how long a batch waits for company. ``timeout_s``: for Kafka's answer to a batch."""
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._linger_s = linger_s
        self._timeout_s = timeout_s
        self._waiting: deque[Batch] = deque()
        self._sent: Batch | None = None
        self.idle = asyncio.Event()  # nothing is queued, or sent and not yet acknowledged
        self.idle.set()
        self._arrived = asyncio.Event()
        self._filled = asyncio.Event()

    def add(self, submission: Submission, record: Record, timestamp_ms: int) -> None:
        """Queue one record. Never waits: admission bounds what all lanes together hold."""
        if self._waiting and self._waiting[-1].add(submission, record, timestamp_ms):
            return
        if self._waiting:
            self._filled.set()
        batch = Batch(self._producer.create_batch())
        batch.add(submission, record, timestamp_ms)
        self._waiting.append(batch)
        self._arrived.set()
        self.idle.clear()

    async def run(self) -> None:
        """Send batch after batch, until one fails.

        Raises:
            KafkaError: a batch handed over was not taken. The producer counts the records of each
                partition, so that after a gap Kafka would refuse all that follow: it must be replaced.
            TimeoutError: Kafka did not answer for a batch in time.
        """
        while True:
            await self._arrived.wait()
            if self._linger_s:
                await self._linger()
            self._sent = self._waiting.popleft()
            self._filled.clear()
            if not self._waiting:
                self._arrived.clear()
            await self._send(self._sent)
            self._sent = None
            if not self._waiting:
                self.idle.set()

    def fail(self, failure: str) -> None:
        """Settle all that is queued or sent and not acknowledged as failed."""
        if self._sent is not None:
            self._sent.settle(failure)
            self._sent = None
        while self._waiting:
            self._waiting.popleft().settle(failure)
        self._arrived.clear()

    async def _send(self, batch: Batch) -> None:
        batch.builder.close()
        try:
            acknowledged = await self._producer.send_batch(batch.builder, self._topic, partition=self._partition)
        except KafkaError as error:  # not handed over: nothing of it was counted or sent
            batch.settle(f"topic {self._topic}: {error}")
            return
        acknowledged.add_done_callback(_retrieve)
        done, _ = await asyncio.wait((acknowledged,), timeout=self._timeout_s)
        if not done:
            raise TimeoutError(f"no answer for a batch of {self._topic}-{self._partition} in {self._timeout_s:g} s")
        failure = acknowledged.exception()
        if failure is not None:
            batch.settle(f"Kafka did not take it: {failure}")
            raise failure
        batch.settle(None)

    async def _linger(self) -> None:
        """Wait until the batch has had its time for company, or is full."""
        if len(self._waiting) == 1:
            try:
                async with asyncio.timeout(self._linger_s):
                    await self._filled.wait()
            except TimeoutError:
                return


def _retrieve(answered: asyncio.Future[RecordMetadata | None]) -> None:
    """Look at the outcome of a batch whose lane may be gone: asyncio complains of one that nobody looked at."""
    if not answered.cancelled():
        answered.exception()

"""One broker's share of the way into Kafka: what arrives during one round trip makes up the next.

aiokafka has one request to a broker under way at a time. Gathering the next one here, over all
requests and partitions, costs less than half of its ``send`` (two coroutines and a future an event),
has no herd of waiters at a full batch, and leaves one batch a partition in the producer's own queue.

Under load a round begins some time after the one before it, so that it is worth its cost (:mod:`pipeline.pace`); not
where so many requests wait that hardly a client is left who could add to it: these would wait for each other.

A round is answered for only when the next one is on its way: else Kafka would have nothing to do
while this process writes its answers, which on one core is most of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from typing import Protocol

from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata, TopicPartition

from pipeline.ingest.publishing.submission import Submission
from pipeline.pace import Pace

_WORTH_EVENTS = 1_000  # a round of so many needs no more
_TURNS_UNTIL_SENT = 7  # of the event loop: from an acknowledgement until aiokafka has written the next request

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
        """Return an empty batch."""

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Acknowledgement:
        """Hand over a batch; the future is done when Kafka has acknowledged it."""


class PartitionBatch:
    """Records for one partition, and the submissions that they are of."""

    __slots__ = ("append", "builder", "submissions")

    def __init__(self, builder: BatchBuilder) -> None:
        """An empty batch."""
        self.builder = builder
        self.append = builder.append
        self.submissions: list[Submission] = []

    def settle(self, failure: str | None) -> None:
        """Inform every submission of what became of its events in this batch; only the first time counts."""
        submissions, self.submissions = self.submissions, []
        for submission in submissions:
            submission.settle(self, failure)


class Queue:
    """What waits for one partition: batches that are full, and last the one that is being filled."""

    __slots__ = ("_broker_sender", "batches", "filling", "to")

    def __init__(self, broker_sender: BrokerSender, to: TopicPartition) -> None:
        """Made by :meth:`BrokerSender.queue`."""
        self._broker_sender = broker_sender
        self.to = to
        self.batches: deque[PartitionBatch] = deque()
        self.filling: PartitionBatch | None = None

    def add(self, key: bytes, value: bytes, timestamp_ms: int) -> PartitionBatch:
        """Queue one record and return its batch. Never waits: admission bounds what all queues together hold."""
        self._broker_sender.events += 1
        batch = self.filling
        if batch is None or batch.append(timestamp=timestamp_ms, key=key, value=value) is None:
            batch = self.filling = self._broker_sender.begin(self)
            batch.append(timestamp=timestamp_ms, key=key, value=value)
        return batch

    def take(self) -> PartitionBatch:
        """Take the oldest batch out."""
        batch = self.batches.popleft()
        if not self.batches:
            self.filling = None
        return batch


class BrokerSender:
    """Gathers records by partition and sends them in rounds, a batch of each partition in each."""

    def __init__(self, producer: Producer, *, linger_s: float, timeout_s: float) -> None:
        """``linger_s``: how long a round may wait for company. ``timeout_s``: for Kafka's answer to a round."""
        self._producer = producer
        self._pace = Pace(linger_s, _WORTH_EVENTS)
        self._timeout_s = timeout_s
        self.events = 0  # that are queued
        self._waiting: list[Queue] = []  # those that hold something
        self._sent: list[PartitionBatch] = []
        self._answered: list[
            tuple[PartitionBatch, str | None]
        ] = []  # by Kafka, and not yet reported to the submissions
        self._arrived = asyncio.Event()
        self._flushed = asyncio.Event()
        self._due_s = 0.0  # when the next round may begin, on the loop's clock
        self.idle = asyncio.Event()  # nothing is queued, or sent and not yet acknowledged
        self.idle.set()

    def queue(self, to: TopicPartition) -> Queue:
        """Return a queue for one partition; one each."""
        return Queue(self, to)

    def begin(self, queue: Queue) -> PartitionBatch:
        """Put another batch into ``queue``, to be filled."""
        if queue.batches:
            self.flush()
        else:
            self._waiting.append(queue)
            self._arrived.set()
            self.idle.clear()
        batch = PartitionBatch(self._producer.create_batch())
        queue.batches.append(batch)
        return batch

    def flush(self) -> None:
        """Let the next round begin at once: it is large enough, or nobody is left to add to it."""
        self._flushed.set()

    async def run(self) -> None:
        """Send round after round, until a batch fails.

        Raises:
            KafkaError: a batch handed over was not taken. The producer counts the records of each
                partition, so that after a gap Kafka would refuse all that follow: it must be replaced.
            TimeoutError: Kafka did not answer for a batch in time.
        """
        while True:
            await self._arrived.wait()
            await self._gather()
            await self._round()
            if not self._waiting:
                self.idle.set()

    def fail(self, failure: str) -> None:
        """Settle all that is queued, or sent and not acknowledged, as failed."""
        self._report()
        for batch in self._sent:
            batch.settle(failure)
        for queue in self._waiting:
            while queue.batches:
                queue.take().settle(failure)
        self._waiting.clear()
        self.idle.set()

    async def _round(self) -> None:
        acknowledgements = []
        taken = self._take()
        self._sent = [batch for _, batch in taken]  # before anything is awaited: what ends that must find them all
        for to, batch in taken:
            batch.builder.close()
            try:
                acknowledged = await self._producer.send_batch(batch.builder, to.topic, partition=to.partition)
            except KafkaError as error:  # not handed over: nothing of it was counted or sent
                batch.settle(f"topic {to.topic}: {error}")
                continue
            acknowledged.add_done_callback(functools.partial(self._note, batch))
            acknowledgements.append(acknowledged)
        if acknowledgements:
            answered, late = await asyncio.wait(acknowledgements, timeout=self._timeout_s)
            if late:
                raise TimeoutError(f"no answer for {len(late)} batches in {self._timeout_s:g} s")
            for each in answered:
                each.result()
        self._sent.clear()

    def _note(self, batch: PartitionBatch, acknowledgement: Acknowledgement) -> None:
        """Note Kafka's answer for a batch, and report it when the next round, if there is one, is on its way."""
        if acknowledgement.cancelled():
            return  # its connection is being given up, which settles it
        failure = acknowledgement.exception()
        self._answered.append((batch, None if failure is None else f"Kafka did not take it: {failure}"))
        if len(self._answered) == 1:
            self._report_after(_TURNS_UNTIL_SENT if self._waiting else 0)

    def _report_after(self, loop_turns: int) -> None:
        if loop_turns:
            asyncio.get_running_loop().call_soon(self._report_after, loop_turns - 1)
        else:
            self._report()

    def _report(self) -> None:
        answered, self._answered = self._answered, []
        for batch, failure in answered:
            batch.settle(failure)

    def _take(self) -> list[tuple[TopicPartition, PartitionBatch]]:
        """Take the oldest batch of every partition out of the queues."""
        taken = [(queue.to, queue.take()) for queue in self._waiting]
        self._waiting = [queue for queue in self._waiting if queue.batches]
        self._flushed.clear()
        now_s = asyncio.get_running_loop().time()
        self._due_s = now_s + self._pace.after(self.events, now_s)
        self.events = 0
        if not self._waiting:
            self._arrived.clear()
        return taken

    async def _gather(self) -> None:
        """Wait until the next round is due."""
        left_s = self._due_s - asyncio.get_running_loop().time()
        if left_s > 0 and not self._flushed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._flushed.wait()

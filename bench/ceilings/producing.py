"""The bare producers: aiokafka with one send an event, and with a keyed batch for each partition.

Both keep the settings of the API's producer. In batches, events are grouped by the producer's own
partitioner: those of each request by themselves, or pooled over the requests that are in hand, as the API does it,
so that half of these are on their way while the other half is grouped.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from bench.ceilings import material, meter
from bench.ceilings.loops import Loop
from bench.ceilings.material import Message
from bench.ceilings.meter import LoopMeasurement, Meter
from bench.ceilings.task import Deadline, Task
from bench.evidence import durations
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings

_BATCH_BYTES = 512 * 1024
_SENDS_IN_HAND = 2_000
_SENDS_AT_ONCE = 100
_ANSWER_S = 30.0
_MAX_KEYS = 65_536
_partitioner = DefaultPartitioner()
Request = list[Message]
_Produce = Callable[[Sequence[Request], Deadline], Awaitable[tuple[int, list[int]]]]


async def measure(task: Task, settings: Settings) -> LoopMeasurement:
    """Produce the events of ``task`` to the topics of ``settings``, which are there and empty.

    Raises:
        KafkaError, TimeoutError: Kafka did not acknowledge.
    """
    loop, kafka = task.loop, settings.kafka
    wanted = material.fitting(loop.events + loop.warm_up, task.traffic)
    requests = material.requests(task.traffic, wanted, loop.batch if loop.batch > 1 else _SENDS_AT_ONCE, kafka)
    first = min(loop.warm_up // len(requests[0]), len(requests) // 2)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        client_id="tidemark-ceiling",
        acks="all",
        enable_idempotence=True,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=kafka.request_timeout_ms,
    )
    await producer.start()
    try:
        await producer.client.set_topics(event_topics(kafka))
        produce = _way(producer, settings, loop)
        await produce(requests[:first], Deadline(task.longest_s))
        material.settle()
        reader = Meter(task.pids)
        before = reader.read()
        events, took_ns = await produce(requests[first:], Deadline(task.longest_s))
        after = reader.read()
    finally:
        await asyncio.wait_for(producer.stop(), _ANSWER_S)
    service_time_ms = durations.percentiles(np.array(took_ns, dtype=np.int64)) if took_ns else None
    return meter.measured(before, after, events, service_time_ms)


def _way(producer: AIOKafkaProducer, settings: Settings, loop: Loop) -> _Produce:
    if loop.batch == 1:
        return _Sends(producer).produce
    return (_Pooled if loop.pooled else _Requests)(producer, settings, loop.connections).produce


class _Sends:
    """One ``send`` an event, so many of them not acknowledged at a time."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def produce(self, parts: Sequence[Request], deadline: Deadline) -> tuple[int, list[int]]:
        """Send part after part; return how many events were acknowledged. Single events have no service time here."""
        sent = 0
        before: list[Awaitable[object]] = []
        under_way: list[Awaitable[object]] = []
        for part in parts:
            if deadline.passed:
                break
            for message in part:
                timestamp_ms = time.time_ns() // 1_000_000
                under_way.append(
                    await self._producer.send(message.topic, message.value, key=message.key, timestamp_ms=timestamp_ms)
                )
            sent += len(part)
            await asyncio.sleep(0)  # what was handed over goes on its way
            if len(under_way) >= _SENDS_IN_HAND // 2:
                await _acknowledged(before)
                before, under_way = under_way, []
        await _acknowledged([*before, *under_way])
        return sent, []


class _Batches:
    """Makes and sends a batch for each partition."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings, in_hand: int) -> None:
        self._producer = producer
        self._in_hand = in_hand
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        cluster = producer.client.cluster
        self._partitions = {
            topic: tuple(cluster.partitions_for_topic(topic) or ()) for topic in event_topics(settings.kafka)
        }

    async def _send(self, part: Sequence[Request]) -> list[Awaitable[object]]:
        """Group the events of some requests by partition, hand over a batch of each; return what acknowledges them."""
        create, partitions = self._producer.create_batch, self._partitions
        now_ms = time.time_ns() // 1_000_000
        open_: dict[tuple[str, int], Any] = {}
        full: list[tuple[tuple[str, int], Any]] = []
        for request in part:
            for message in request:
                to = (message.topic, _partition(message.key, partitions[message.topic]))
                batch = open_.get(to)
                if batch is None:
                    batch = open_[to] = create()
                if batch.append(timestamp=now_ms, key=message.key, value=message.value) is None:
                    full.append((to, batch))
                    batch = open_[to] = create()
                    batch.append(timestamp=now_ms, key=message.key, value=message.value)
        handed_over = [self._hand_over(to, batch) for to, batch in [*full, *open_.items()]]
        return await asyncio.gather(*handed_over)

    async def _hand_over(self, to: tuple[str, int], batch: Any) -> Awaitable[object]:
        """Return a batch to the producer, which takes one of a partition at a time; return what acknowledges it."""
        topic, partition = to
        batch.close()
        async with self._turns[to]:  # first come, first served: the producer itself would let any of those who wait
            acknowledged: Awaitable[object] = await self._producer.send_batch(batch, topic, partition=partition)
            return acknowledged


class _Pooled(_Batches):
    """Batches of half the requests in hand, while those of the other half are on their way."""

    async def produce(self, requests: Sequence[Request], deadline: Deadline) -> tuple[int, list[int]]:
        """Send request after request; return how many events were acknowledged, and what each request took (ns)."""
        took_ns: list[int] = []
        events = 0
        under_way: asyncio.Future[Any] | None = None
        for part in self._parts(requests):
            if deadline.passed:
                break
            began_ns = time.monotonic_ns()
            acknowledged = asyncio.gather(*await self._send(part))
            acknowledged.add_done_callback(functools.partial(_note, took_ns, began_ns, len(part)))
            await asyncio.sleep(0)
            if under_way is not None:
                await _acknowledged([under_way])
            under_way = acknowledged
            events += sum(map(len, part))
        if under_way is not None:
            await _acknowledged([under_way])
        return events, took_ns

    def _parts(self, requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
        at_once = max(1, self._in_hand // 2)
        for first in range(0, len(requests), at_once):
            yield requests[first : first + at_once]


class _Requests(_Batches):
    """Batches of one request each, so many requests in hand at a time."""

    async def produce(self, requests: Sequence[Request], deadline: Deadline) -> tuple[int, list[int]]:
        """Send request after request; return how many events were acknowledged, and what each request took (ns)."""
        took_ns: list[int] = []
        left = iter(requests)

        async def one_after_the_other() -> int:
            events = 0
            for request in left:  # all of them take from the same
                began_ns = time.monotonic_ns()
                await _acknowledged(await self._send([request]))
                took_ns.append(time.monotonic_ns() - began_ns)
                events += len(request)
                if deadline.passed:
                    break
            return events

        return sum(await asyncio.gather(*(one_after_the_other() for _ in range(self._in_hand)))), took_ns


async def _acknowledged(waiting: Sequence[Awaitable[object]]) -> None:
    """Wait until Kafka has acknowledged all of these, within a bound."""
    async with asyncio.timeout(_ANSWER_S):
        await asyncio.gather(*waiting)


def _note(took_ns: list[int], began_ns: int, requests: int, _: asyncio.Future[Any]) -> None:
    """Note what each of the requests took that were sent together."""
    took_ns.extend([time.monotonic_ns() - began_ns] * requests)


@functools.lru_cache(maxsize=_MAX_KEYS)
def _partition(key: bytes, partitions: tuple[int, ...]) -> int:
    """Return the partition that the producer would choose for ``key``; keys come often, as they do to the API."""
    chosen: int = _partitioner(key, partitions, partitions)
    return chosen

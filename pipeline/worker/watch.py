"""Watches one consumer and notices what aiokafka does not report."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaTimeoutError
from aiokafka.structs import TopicPartition

from pipeline.bounded import bounded
from pipeline.worker.flights import Flights, Flyable
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.positions import Positions
from pipeline.worker.waiting import Waiting

_INTERVAL_S = 5.0
_IN_VAIN_LIMIT = 3  # looks in a row; then a new consumer is made

Offsets = dict[TopicPartition, int]


class Watch:
    """Updates the backlog gauge; notices that Kafka is away while nothing comes, and that a topic was created again.

    Sometimes, after a broker was away, a consumer gets no answers any more, or fetches nothing although there is
    something. A new consumer works.
    """

    def __init__(
        self, flights: Flights[Flyable], positions: Positions, metrics: WorkerMetrics, waiting: Waiting
    ) -> None:
        self._flights = flights
        self._positions = positions
        self._metrics = metrics
        self._waiting = waiting

    async def over(self, consumer: AIOKafkaConsumer, timeout_s: float) -> None:
        """Watch ``consumer`` until only a new one helps; an answer from Kafka may take ``timeout_s``.

        Raises:
            KafkaTimeoutError: a new one is needed.
        """
        in_vain = 0
        before: Offsets = {}
        while in_vain < _IN_VAIN_LIMIT:
            await asyncio.sleep(_INTERVAL_S)
            try:
                ends, now = await bounded(_look(consumer), timeout_s)
                await bounded(self._positions.look_for_new_topics(consumer), timeout_s)
            except IllegalStateError:  # a rebalance came between
                continue
            except Exception as error:  # noqa: BLE001  # errors inside the client too
                self._waiting.note(error)
                in_vain += 1
                continue
            self._metrics.backlog.set(sum(end - now[each] for each, end in ends.items()))
            self._waiting.over()
            stuck = any(now[each] < end and before.get(each) == now[each] for each, end in ends.items())
            in_vain = in_vain + 1 if stuck and not self._flights.any else 0
            before = now
        raise KafkaTimeoutError(f"nothing came {in_vain} times in a row: making a new consumer")


async def _look(consumer: AIOKafkaConsumer) -> tuple[Offsets, Offsets]:
    """Return the ends of the consumer's partitions, and its positions."""
    partitions = consumer.assignment()
    ends = await consumer.end_offsets(partitions) if partitions else {}
    return ends, {each: await consumer.position(each) for each in ends}

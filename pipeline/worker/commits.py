"""Settles writes, oldest first, and commits the offsets of what is stored."""

from __future__ import annotations

import asyncio
import logging
import time

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from pipeline.bounded import bounded, give_up, result_of
from pipeline.worker.flights import Flights, Flyable
from pipeline.worker.membership import commit
from pipeline.worker.positions import Positions
from pipeline.worker.waiting import Waiting

log = logging.getLogger(__name__)

# While batches are small, a commit for each would take more CPU than the writes: 0.5 ms for 12 partitions.
_INTERVAL_S = 0.1


class Commits:
    """What one worker has stored and not yet committed; the consumer loop and a rebalance both settle and commit.

    An offset is committed only if everything before it is stored and the partition is still owned.
    """

    def __init__(self, flights: Flights[Flyable], positions: Positions, waiting: Waiting, timeout_s: float) -> None:
        """``timeout_s``: of one commit."""
        self._flights = flights
        self._positions = positions
        self._waiting = waiting
        self._timeout_s = timeout_s
        self._committed_s = 0.0
        self._beside: asyncio.Task[None] | None = None
        self._consumer: AIOKafkaConsumer = None

    def begin(self, consumer: AIOKafkaConsumer) -> None:
        """Commit for ``consumer`` from now on."""
        self._consumer = consumer
        self._beside = None

    async def make_room(self) -> None:
        """Wait until one more write may start."""
        while self._flights.full:
            async with self._flights.lock:
                if self._flights.full:
                    await self._flights.settle_oldest()

    async def settle_what_is_done(self) -> None:
        """Settle what is done, and commit it beside the work, though not all too often."""
        if self._flights.lock.locked():  # a commit is under way: there will be another
            return
        async with self._flights.lock:
            while self._flights.oldest_done:
                await self._flights.settle_oldest()
        self._end_beside()
        if self._beside is None and time.monotonic() - self._committed_s >= _INTERVAL_S:
            self._beside = asyncio.create_task(self.commit())

    async def settle_all(self) -> None:
        """Settle everything in flight; raises what a write raised."""
        async with self._flights.lock:
            await self._settle_all()

    async def settle_and_commit(self, *, at_rest: bool = False) -> None:
        """Settle everything in flight and commit it.

        ``at_rest``: the last poll returned nothing, so everything before our positions is stored. If a position is
        beyond the last record, the rest was aborted transactions, markers, or deleted records.
        """
        self._end_beside()
        async with self._flights.lock:
            await self._settle_all()
            for each in self._consumer.assignment() if at_rest else ():
                position = self._positions.known(self._consumer, each)
                if position is not None and self._positions.advance(each, position):
                    self._flights.reached(each, position)
            await self._commit()

    async def commit(self) -> None:
        """Commit what is settled and still owned; what fails is kept and committed with the next."""
        async with self._flights.lock:
            await self._commit()

    async def give_up(self) -> None:
        """End a commit that is under way; its offsets are read again."""
        if self._beside is not None:
            await give_up(self._beside)

    def _end_beside(self) -> None:
        """Raise what a commit beside the work raised, if it has ended: nobody foresaw it."""
        if self._beside is not None and self._beside.done():
            ended, self._beside = self._beside, None
            result_of(ended)

    async def _settle_all(self) -> None:
        while self._flights.any:
            await self._flights.settle_oldest()

    async def _commit(self) -> None:
        owned = self._consumer.assignment()
        offsets = {each: offset for each, offset in self._flights.committable().items() if each in owned}
        noted = self._positions.to_commit(offsets)
        if not noted:
            return
        try:
            await bounded(commit(self._consumer, noted), self._timeout_s)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("not committed, the group is rebalancing: %s", error)
        except (KafkaError, TimeoutError) as error:
            self._waiting.note(error)
        else:
            self._committed_s = time.monotonic()
            self._flights.committed(offsets)
            self._positions.committed(offsets)
            self._waiting.over()

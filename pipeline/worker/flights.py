"""Writes in flight, and the offsets that their acknowledgement sets free."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from aiokafka.structs import TopicPartition

from pipeline.bounded import result_of


class Flyable(Protocol):
    """What a batch must know of itself, whatever it holds: how many events, since when, and up to where."""

    epoch: int
    offsets: dict[TopicPartition, int]

    @property
    def events(self) -> int:
        """How many records it holds."""
        ...


B = TypeVar("B", bound=Flyable)


class Flights(Generic[B]):
    """At most ``limit`` writes at once, settled oldest first.

    Settling is what both the consumer loop and a rebalance do, so each of them holds ``lock``.
    Offsets count only while the assignment lasts under which their records were fetched: after
    a rebalance another worker may own the partition, and be further on.
    """

    def __init__(self, write: Callable[[B], Awaitable[None]], limit: int) -> None:
        """``write`` returns when its batch is stored; ``limit`` is at least 1."""
        self.lock = asyncio.Lock()
        self.epoch = 0
        self._write = write
        self._limit = limit
        self._flying: deque[tuple[B, asyncio.Task[None]]] = deque()
        self._settled: dict[TopicPartition, int] = {}

    @property
    def full(self) -> bool:
        """Whether the oldest write must be settled before the next may start."""
        return len(self._flying) >= self._limit

    @property
    def any(self) -> bool:
        """Whether a write is not settled yet."""
        return bool(self._flying)

    @property
    def oldest_done(self) -> bool:
        """Whether settling the oldest write would not wait."""
        return bool(self._flying) and self._flying[0][1].done()

    async def start(self, batch: B) -> None:
        """Start writing ``batch``."""
        self._flying.append((batch, asyncio.ensure_future(self._write(batch))))
        await asyncio.sleep(0)  # puts the write on the wire before the next batch is mapped

    async def settle_oldest(self) -> None:
        """Wait for the oldest write and set its offsets free. Hold ``lock``; raises what the write raised."""
        batch, task = self._flying[0]
        if not task.done():  # waiting for a finished task too takes a turn of the loop
            # Whoever waits here may be cancelled; the write goes on, and is settled later.
            await asyncio.wait({task})
        result_of(task)
        self._flying.popleft()
        if batch.epoch == self.epoch:
            self._settled.update(batch.offsets)

    def reached(self, partition: TopicPartition, offset: int) -> None:
        """Note that everything before ``offset`` is stored, although no record was there; hold ``lock``."""
        self._settled[partition] = offset

    def committable(self) -> dict[TopicPartition, int]:
        """Return the offsets that may be committed and were not yet."""
        return dict(self._settled)

    def committed(self, offsets: dict[TopicPartition, int]) -> None:
        """Note that ``offsets`` are committed."""
        for partition, offset in offsets.items():
            if self._settled.get(partition) == offset:
                del self._settled[partition]

    def begin_epoch(self) -> None:
        """The assignment is over: nothing fetched under it is committed any more."""
        self.epoch += 1
        self._settled.clear()

    async def abandon(self) -> int:
        """Cancel what is in flight; return how many events that leaves unsettled."""
        events = sum(batch.events for batch, task in self._flying if not task.done())
        tasks = [task for _, task in self._flying]
        self._flying.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return events

"""The events of one request on their way to Kafka, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.ingest.admission import Hold


class Record(NamedTuple):
    """One event as Kafka takes it; ``place`` is its index in the request."""

    place: int
    topic: str
    key: bytes
    value: bytes


class Submission:
    """Waits until Kafka has answered for every event of a request, and holds their admission so long."""

    __slots__ = ("_hold", "_loop", "_settled", "failures", "pending")

    def __init__(self, records: Sequence[Record], hold: Hold, loop: asyncio.AbstractEventLoop) -> None:
        """``hold`` is the submission's from now on: released with the last event, whoever still waits."""
        self.pending: set[int] = {record.place for record in records}
        self.failures: dict[int, str] = {}
        self._settled: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._hold = hold
        hold.lent = True

    def settle(self, places: Sequence[int], failure: str | None) -> None:
        """Take Kafka's answer for these events: acknowledged, or why not."""
        self.pending.difference_update(places)
        if failure is not None:
            self.failures.update(dict.fromkeys(places, failure))
        if not self.pending:
            self._hold.release()
            self._wake()

    async def wait(self, timeout_s: float) -> bool:
        """Whether Kafka answered for all of them within ``timeout_s``; what is pending then is in doubt."""
        if self.pending:
            timer = self._loop.call_later(timeout_s, self._wake)
            try:
                await self._settled
            finally:
                timer.cancel()
        return not self.pending

    def _wake(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)

"""The events of one request on their way to Kafka, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

from msgspec import Struct

from pipeline.ingest.admission import Hold


class Records(Struct, frozen=True, gc=False):
    """The events of a request as Kafka takes them: of each, at the same place, its topic, its user and its message."""

    topics: Sequence[str]
    users: Sequence[str]
    messages: Sequence[bytes]

    @property
    def size_bytes(self) -> int:
        """About how many bytes they are, keys and messages."""
        return sum(map(len, self.users)) + sum(map(len, self.messages))


class Submission:
    """Waits until Kafka has answered for every event of a request, and holds their admission so long.

    Kafka answers for whole batches. So what is kept of an event is which batch it went into.
    """

    __slots__ = ("_batches", "_hold", "_loop", "_settled", "failures", "pending")

    def __init__(self, batches: Sequence[Hashable], hold: Hold, loop: asyncio.AbstractEventLoop) -> None:
        """``batches``: of each event, in their order. ``hold`` is the submission's, released with the last batch."""
        self._batches = batches
        self.pending = set(batches)
        self.failures: dict[Hashable, str] = {}
        self._settled: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._hold = hold
        hold.lent = True

    def settle(self, batch: Hashable, failure: str | None) -> None:
        """Take Kafka's answer for the events in ``batch``: acknowledged, or why not."""
        self.pending.discard(batch)
        if failure is not None:
            self.failures[batch] = failure
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

    def failed(self, in_doubt: str) -> dict[int, str]:
        """Give the events, by their place, that are not acknowledged, and why: ``in_doubt`` where none is known."""
        if not self.failures and not self.pending:
            return {}
        why = {**dict.fromkeys(self.pending, in_doubt), **self.failures}
        return {place: why[batch] for place, batch in enumerate(self._batches) if batch in why}

    def _wake(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)

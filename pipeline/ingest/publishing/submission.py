"""The events of one request on their way to Kafka, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

from msgspec import Struct

from pipeline.ingest.admission import Reservation


class Records(Struct, frozen=True, gc=False):
    """The events of a request as Kafka takes them: of each, at the same place, its topic, its user and its message."""

    topics: Sequence[str]
    users: Sequence[str]
    messages: Sequence[bytes]

    @property
    def size_bytes(self) -> int:
        """About how many bytes they are, keys and messages."""
        return sum(map(len, self.users)) + sum(map(len, self.messages))


class DeadlineQueue:
    """Wakes what waits when its time is over: one timer for all of a process, for one each costs 4 us of a request.

    All wait equally long, so that those who came first are the first whose time is over.
    """

    def __init__(self, timeout_s: float) -> None:
        """``timeout_s``: for each."""
        self.timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._until: dict[asyncio.Future[None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def future(self) -> asyncio.Future[None]:
        """Return something to wait for."""
        return self._loop.create_future()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._until)

    async def wait(self, waited_for: asyncio.Future[None]) -> None:
        """Return when ``waited_for`` has its result, which it is given when the time is over."""
        self._until[waited_for] = self._loop.time() + self.timeout_s
        if self._timer is None:
            self._timer = self._loop.call_later(self.timeout_s, self._ring)
        try:
            await waited_for
        finally:
            del self._until[waited_for]

    def _ring(self) -> None:
        now_s = self._loop.time()
        self._timer = None
        for waited_for, until_s in self._until.items():
            if until_s > now_s:
                self._timer = self._loop.call_later(until_s - now_s, self._ring)
                break
            if not waited_for.done():
                waited_for.set_result(None)


class Submission:
    """Waits until Kafka has answered for every event of a request, and holds their admission so long.

    Kafka answers for whole batches. So what is kept of an event is which batch it went into.
    """

    __slots__ = ("_batches", "_deadlines", "_reservation", "_settled", "failures", "pending")

    def __init__(self, batches: Sequence[Hashable], reservation: Reservation, deadlines: DeadlineQueue) -> None:
        """``batches``: of each event, in their order. ``reservation`` is released with the last batch.

        ``deadlines``: with which it waits.
        """
        self._batches = batches
        self.pending = set(batches)
        self.failures: dict[Hashable, str] = {}
        self._settled: asyncio.Future[None] = deadlines.future()
        self._deadlines = deadlines
        self._reservation = reservation
        reservation.lent = True

    def settle(self, batch: Hashable, failure: str | None) -> None:
        """Take Kafka's answer for the events in ``batch``: acknowledged, or why not."""
        self.pending.discard(batch)
        if failure is not None:
            self.failures[batch] = failure
        if not self.pending:
            self._reservation.release()
            if not self._settled.done():
                self._settled.set_result(None)

    async def wait(self) -> bool:
        """Whether Kafka answered for all of them in the time that there is; what is pending then is in doubt."""
        if self.pending:
            await self._deadlines.wait(self._settled)
        return not self.pending

    def failed(self, in_doubt: str) -> dict[int, str]:
        """Return the events, by their place, that are not acknowledged, and why: ``in_doubt`` where none is known."""
        if not self.failures and not self.pending:
            return {}
        why = {**dict.fromkeys(self.pending, in_doubt), **self.failures}
        return {place: why[batch] for place, batch in enumerate(self._batches) if batch in why}

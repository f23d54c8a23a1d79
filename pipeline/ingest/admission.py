"""What may be in flight in one process: a bound on events and on bytes, and a fair share of it.

Bytes count from the first read of a body, at their size after decompression. Events count before
the body is decoded, when only its size says how many it may have. Both count until Kafka has
answered for the last event of the request, or until the producer that held them was given up. A
client that stops waiting frees nothing. So a request that is refused because there is no room has
cost only the reading of its bytes.

Where there is no room, a request waits for it, for a moment and in the order of arrival: its
connection is not read meanwhile, so that what a client goes on sending stays in the kernel's
buffers and its own. No more can wait than there are connections, and what waits holds no more
than the bytes that were admitted.
"""

from __future__ import annotations

import asyncio
from collections import deque

from pipeline.errors import UnavailableError

RETRY_AFTER_S = 1
SHARE = 0.75
"""The part of the bounds that one write key may hold, where there are several keys."""


class ShareExceededError(UnavailableError):
    """This client has too much in flight while others have room (HTTP 429)."""


class Admission:
    """The bounds of one process and what is held of them."""

    def __init__(self, max_events: int, max_bytes: int, *, shared: bool) -> None:
        """``shared``: several clients with keys of their own, none of which may hold everything."""
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.events = 0
        self.size_bytes = 0
        self._shared = shared
        self._by_client: dict[str, tuple[int, int]] = {}
        # Two queues: a request that waits for room for events already holds a body. It must not wait for requests
        # that want room for a body: those at the end of a single queue would hold all bytes.
        self._for_bytes: deque[_Waiting] = deque()
        self._for_events: deque[_Waiting] = deque()
        self._letting_in = False

    @property
    def waiting(self) -> int:
        """How many requests wait for room."""
        return len(self._for_bytes) + len(self._for_events)

    def open(self, client: str) -> Reservation:
        """Return an empty reservation of ``client``; it must be released in the end."""
        return Reservation(self, client)

    def change(self, client: str, events: int, size_bytes: int) -> None:
        """Add ``events`` and ``size_bytes``, either of which may be negative; all of it or nothing.

        Raises:
            UnavailableError: the bound on events or on bytes would be passed.
            ShareExceededError: the client's share would be.
        """
        if not self._has_room(events, size_bytes):
            raise self._full()
        if self._shared:
            self._change_share(client, events, size_bytes)
        self.events += events
        self.size_bytes += size_bytes
        if (self._for_events or self._for_bytes) and (events < 0 or size_bytes < 0):
            self._let_in()

    async def wait(self, reservation: Reservation, events: int, size_bytes: int, timeout_s: float) -> None:
        """Let ``reservation`` hold this in place of what it holds, once there is room and all who came before are in.

        Requests that wait for events and those that wait only for bytes are in two queues.

        Raises:
            UnavailableError: that was not so within ``timeout_s``.
            ShareExceededError: the client's share would be passed; that is not waited for.
        """
        if self.take_at_once(reservation, events, size_bytes):
            return
        loop = asyncio.get_running_loop()
        waiting = _Waiting(reservation, events, size_bytes, loop.create_future())
        line = self._line(events)
        line.append(waiting)
        timer = loop.call_later(timeout_s, self._give_up, waiting)
        try:
            failure = await waiting.answer
        finally:
            timer.cancel()
            if waiting in line:  # the client has gone
                line.remove(waiting)
                self._let_in()
        if failure is not None:
            raise failure

    def take_at_once(self, reservation: Reservation, events: int, size_bytes: int) -> bool:
        """Let ``reservation`` hold this in place of what it holds if that needs no wait; say whether it is so.

        Raises:
            ShareExceededError: the client's share would be passed.
        """
        if self._line(events) or not self._has_room(events - reservation.events, size_bytes - reservation.size_bytes):
            return False
        reservation.exchange(events, size_bytes)
        return True

    def _let_in(self) -> None:
        """Let those in that wait, the first come first, until there is no room for the next."""
        if self._letting_in:
            return  # one who is let in gives bytes back as well: that is seen below
        self._letting_in = True
        try:
            self._let_in_order(self._for_events)
            self._let_in_order(self._for_bytes)
        finally:
            self._letting_in = False

    def _line(self, events: int) -> deque[_Waiting]:
        return self._for_events if events else self._for_bytes

    def _let_in_order(self, line: deque[_Waiting]) -> None:
        while line:
            first = line[0]
            reservation = first.reservation
            if not self._has_room(first.events - reservation.events, first.size_bytes - reservation.size_bytes):
                return
            line.popleft()
            try:
                reservation.exchange(first.events, first.size_bytes)
            except UnavailableError as error:
                first.answer_with(error)
            else:
                first.answer_with(None)

    def _give_up(self, waiting: _Waiting) -> None:
        """End a wait that took too long."""
        line = self._line(waiting.events)
        if waiting in line:
            line.remove(waiting)
            waiting.answer_with(self._full())
            self._let_in()  # it may have been what the others waited behind

    def _has_room(self, events: int, size_bytes: int) -> bool:
        return not (
            (events > 0 and self.events + events > self.max_events)
            or (size_bytes > 0 and self.size_bytes + size_bytes > self.max_bytes)
        )

    def _full(self) -> UnavailableError:
        message = (
            f"too much in flight: {self.events} events and {self.size_bytes} bytes "
            f"of {self.max_events} and {self.max_bytes}; try again in {RETRY_AFTER_S} s"
        )
        return UnavailableError(message, RETRY_AFTER_S)

    def _change_share(self, client: str, events: int, size_bytes: int) -> None:
        held_events, held_bytes = self._by_client.get(client, (0, 0))
        new_events, new_bytes = held_events + events, held_bytes + size_bytes
        if (events > 0 and new_events > self.max_events * SHARE) or (
            size_bytes > 0 and new_bytes > self.max_bytes * SHARE
        ):
            message = f"this write key has {held_events} events and {held_bytes} bytes in flight, {SHARE:.0%} of all"
            raise ShareExceededError(f"{message}; try again in {RETRY_AFTER_S} s", RETRY_AFTER_S)
        if new_events or new_bytes:
            self._by_client[client] = new_events, new_bytes
        else:
            self._by_client.pop(client, None)


class _Waiting:
    """A request that waits for room, and its answer: None, or why there is none."""

    __slots__ = ("answer", "events", "reservation", "size_bytes")

    def __init__(
        self, reservation: Reservation, events: int, size_bytes: int, answer: asyncio.Future[UnavailableError | None]
    ) -> None:
        self.reservation = reservation
        self.events = events
        self.size_bytes = size_bytes
        self.answer = answer

    def answer_with(self, failure: UnavailableError | None) -> None:
        if not self.answer.done():
            self.answer.set_result(failure)


class Reservation:
    """What one request holds of the bounds. It only ever gives back what it took."""

    __slots__ = ("_admission", "_client", "_waited_s", "events", "lent", "size_bytes")

    def __init__(self, admission: Admission, client: str) -> None:
        """An empty one; made by :meth:`Admission.open`."""
        self._admission = admission
        self._client = client
        self._waited_s = 0.0
        self.events = 0
        self.size_bytes = 0
        self.lent = False  # to a submission, which releases it whatever becomes of the request

    def grow(self, size_bytes: int) -> None:
        """Hold ``size_bytes`` more; raises what :meth:`Admission.change` does."""
        self._admission.change(self._client, 0, size_bytes)
        self.size_bytes += size_bytes

    def exchange(self, events: int, size_bytes: int) -> None:
        """Hold ``events`` and ``size_bytes`` in place of what is held; raises what :meth:`Admission.change` does."""
        self._admission.change(self._client, events - self.events, size_bytes - self.size_bytes)
        self.events, self.size_bytes = events, size_bytes

    async def admit(self, events: int, size_bytes: int, timeout_s: float) -> None:
        """As :meth:`exchange`, except that room is waited for; raises what :meth:`Admission.wait` does.

        ``timeout_s`` is for all waits of a request together.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            await self._admission.wait(self, events, size_bytes, max(0.0, timeout_s - self._waited_s))
        finally:
            self._waited_s += loop.time() - began_s

    def admit_at_once(self, events: int, size_bytes: int) -> bool:
        """Whether there is room and nobody waits for it: then it is taken, as by :meth:`exchange`."""
        return self._admission.take_at_once(self, events, size_bytes)

    def release(self) -> None:
        """Return everything back; once more is nothing."""
        if self.events or self.size_bytes:
            self._admission.change(self._client, -self.events, -self.size_bytes)
            self.events = self.size_bytes = 0

    def release_unless_lent(self) -> None:
        """Return everything back, unless events in Kafka's hands still count."""
        if not self.lent:
            self.release()

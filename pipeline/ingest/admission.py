"""What may be in flight in one process: a bound on events and on bytes, and a fair share of it.

Bytes count from the moment that a body's first ones are read; events from the moment that they
are handed to Kafka; both until Kafka has answered for the last event of the request, or the
producer that held them was given up. That a client stopped waiting frees nothing.
"""

from __future__ import annotations

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

    @property
    def clients(self) -> int:
        """How many clients with keys of their own have something in flight."""
        return len(self._by_client)

    def open(self, client: str) -> Hold:
        """Give an empty hold of ``client``; it must be released in the end."""
        return Hold(self, client)

    def change(self, client: str, events: int, size_bytes: int) -> None:
        """Add ``events`` and ``size_bytes``, either of which may be negative; all of it or nothing.

        Raises:
            UnavailableError: the bound on events or on bytes would be passed.
            ShareExceededError: the client's share would be.
        """
        if (events > 0 and self.events + events > self.max_events) or (
            size_bytes > 0 and self.size_bytes + size_bytes > self.max_bytes
        ):
            message = (
                f"too much in flight: {self.events} events and {self.size_bytes} bytes "
                f"of {self.max_events} and {self.max_bytes}; try again in {RETRY_AFTER_S} s"
            )
            raise UnavailableError(message, RETRY_AFTER_S)
        if self._shared:
            self._change_share(client, events, size_bytes)
        self.events += events
        self.size_bytes += size_bytes

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


class Hold:
    """What one request holds of the bounds. It only ever gives back what it took."""

    __slots__ = ("_admission", "_client", "events", "lent", "size_bytes")

    def __init__(self, admission: Admission, client: str) -> None:
        """An empty one; made by :meth:`Admission.open`."""
        self._admission = admission
        self._client = client
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

    def release(self) -> None:
        """Give everything back; once more is nothing."""
        if self.events or self.size_bytes:
            self._admission.change(self._client, -self.events, -self.size_bytes)
            self.events = self.size_bytes = 0

    def release_unless_lent(self) -> None:
        """Give everything back, unless events in Kafka's hands still count."""
        if not self.lent:
            self.release()

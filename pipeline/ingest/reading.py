"""From the body of a request to its events as Kafka takes them, and those of them that are refused."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct

from pipeline.errors import InvalidEventError
from pipeline.ingest.admission import SHARE, Reservation
from pipeline.ingest.answers import RefusedError, Rejected
from pipeline.ingest.batches import BatchReader, Unread
from pipeline.ingest.publishing.submission import Records
from pipeline.ingest.slices import Work
from pipeline.messages.events import Event, complete, message_of, read_event, usual_event, usual_events
from pipeline.messages.topics import topic_of
from pipeline.settings import Settings

MAX_RECORD_BYTES = 900_000
"""Of one event in Kafka. A broker's own default limit is 1 MiB, and JSON may grow when it is written anew."""
CONTAINER_BYTES = 64
"""The memory of an empty object or array: 5,000,000 of them fit into 15 MB of JSON."""
CONTAINERS_OF_AN_EVENT = 100
"""How many a batch may always have, for each event allowed."""

_LEAST_EVENT_BYTES = len(b'{"event":"a","user_id":"b"}')
_AT_ONCE_BYTES = 1024 * 1024  # read in one piece; takes up to 30 ms, and the event loop may wait for 50
_FEW_ARRAYS_BYTES = 256 * 1024  # if it holds only arrays, it takes 25 ms
_ARRAYS_OF_AN_EVENT = 8  # most events have fewer

_event_type, _user = attrgetter("event"), attrgetter("user_id")


class Taken(Struct, frozen=True, gc=False):
    """The events of a batch that are valid, ``places``: where in it they stand; and those that are not."""

    records: Records
    places: Sequence[int]
    rejected: list[Rejected]


class EventReader:
    """Reads decompressed bodies of one event or of a batch, within the bounds of the settings.

    It bounds the work before it does it: 17 kB of gzip can hold 5,000,000 empty objects, which would take seconds. So
    the memory of all objects and arrays of a batch may not exceed its bound of bytes.
    """

    def __init__(self, settings: Settings) -> None:
        """Topics and bounds are those of ``settings``."""
        api = settings.api
        self._topics = _Topics(settings)
        self._batches = BatchReader(api.max_batch_events)
        self._max_batch_events = api.max_batch_events
        # At most the share of one client: otherwise a batch of few events would be refused for events it might have.
        self._most_events = max(1, min(api.max_batch_events, int(api.max_in_flight_events * SHARE)))
        self._max_event_bytes = api.max_event_bytes
        self._most_containers = max(
            api.max_decompressed_bytes // CONTAINER_BYTES, CONTAINERS_OF_AN_EVENT * api.max_batch_events
        )
        self._most_usual_bytes = min(api.max_event_bytes, MAX_RECORD_BYTES)

    def one(self, body: bytes, received_ms: int) -> tuple[str, Records]:
        """Return the event id of the one event in ``body``, and its record.

        Raises:
            InvalidEventError: it cannot be taken, and why.
        """
        event = usual_event(body) or read_event(body)
        complete(event, received_ms)
        return event.event_id or "", Records((self._topics[event.event],), (event.user_id,), (_message(event),))

    def is_small(self, body: bytes) -> bool:
        """Whether the event loop can wait while ``body`` is read."""
        size_bytes = len(body)
        return size_bytes <= _FEW_ARRAYS_BYTES or (
            size_bytes <= _AT_ONCE_BYTES and body.count(b"[") <= _ARRAYS_OF_AN_EVENT * self._max_batch_events
        )

    def most_events(self, size_bytes: int) -> int:
        """Return how many events a batch of this size may have."""
        return min(self._most_events, size_bytes // _LEAST_EVENT_BYTES + 1)

    def batch(self, body: bytes, received_ms: int) -> Taken | None:
        """Read a small batch in one piece if its events are of the usual kind; else return None."""
        events = usual_events(body, self._max_batch_events)
        if not events or len(events) > self._max_batch_events:
            return None
        for event in events:
            if event.timestamp is None or event.event_id is None:
                complete(event, received_ms)
        messages = list(map(message_of, events))
        # The bytes of a body beyond its messages, such as spaces, may all belong to one event.
        beyond = max(0, len(body) - sum(map(len, messages)))
        if beyond + max(map(len, messages)) > self._most_usual_bytes:
            return None
        return Taken(self._records(events, messages), range(len(events)), [])

    async def one_by_one(self, body: bytes, received_ms: int, reservation: Reservation, work: Work) -> Taken:
        """Read any batch in slices, like :meth:`batch`; ``reservation`` grows if its messages are larger than the body.

        Raises:
            RefusedError: it is no batch, or has too many events or containers.
            UnavailableError: ``reservation`` may not grow, or others do long work.
        """
        if len(body) // 2 > self._most_containers:  # by its size it may have more
            containers = body.count(b"{") + body.count(b"[")
            if containers > self._most_containers:
                message = f"{containers} objects and arrays, {self._most_containers} are allowed: send smaller batches"
                raise RefusedError(413, "body_too_large", message)
        reading = _Reading(self._max_event_bytes, received_ms)
        left_bytes = len(body)
        work.begin()
        for data in self._batches.split(body):
            if data is not None:
                left_bytes -= reading.add(data)
                if left_bytes < 0:  # the messages are larger than what was sent
                    reservation.grow(-left_bytes)
                    left_bytes = 0
            if work.is_due:
                await work.pause()
        if reading.is_no_json:
            raise RefusedError(400, "invalid_json", reading.rejected[0].error)
        return Taken(self._records(reading.events, reading.messages), reading.places, reading.rejected)

    def _records(self, events: Sequence[Event], messages: Sequence[bytes]) -> Records:
        topics = self._topics
        return Records([topics[each.event] for each in events], list(map(_user, events)), messages)


class _Reading:
    """The events of a batch as they are read one by one."""

    def __init__(self, max_event_bytes: int, received_ms: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._received_ms = received_ms
        self._number = 0
        self.events: list[Event] = []
        self.messages: list[bytes] = []
        self.places: list[int] = []
        self.rejected: list[Rejected] = []

    def add(self, data: Unread) -> int:
        """Read the next event from ``data``; return the size of its message, 0 if it is refused."""
        place = self._number
        self._number += 1
        try:
            if len(memoryview(data)) > self._max_event_bytes:
                raise _too_large(self._max_event_bytes)
            event = read_event(data)
            complete(event, self._received_ms)
            message = _message(event)
        except InvalidEventError as error:
            self.rejected.append(Rejected(place, error.code, str(error)))
            return 0
        self.events.append(event)
        self.messages.append(message)
        self.places.append(place)
        return len(message)

    @property
    def is_no_json(self) -> bool:
        """Whether no item was JSON."""
        return not self.events and all(each.code == "invalid_json" for each in self.rejected)


class _Topics(dict[str, str]):
    """The topic of each event type; the settings' own types are looked up, all others are generic."""

    def __init__(self, settings: Settings) -> None:
        super().__init__({each: topic_of(each, settings.kafka) for each in settings.kafka.event_types})
        self._generic = topic_of(settings.kafka.generic_type, settings.kafka)

    def __missing__(self, event_type: str) -> str:
        return self._generic


def _message(event: Event) -> bytes:
    message = message_of(event)
    if len(message) > MAX_RECORD_BYTES:
        raise _too_large(MAX_RECORD_BYTES)
    return message


def _too_large(max_bytes: int) -> InvalidEventError:
    return InvalidEventError("event_too_large", f"the event is larger than {max_bytes} bytes")

"""From the body of a request to its events as Kafka takes them, and those of them that are refused."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct

from pipeline.errors import InvalidEventError
from pipeline.events import Event, complete, message_of, read_event, usual_event, usual_events
from pipeline.ingest.admission import SHARE, Hold
from pipeline.ingest.answers import RefusedError, Rejected
from pipeline.ingest.batches import BatchReader
from pipeline.ingest.submission import Records
from pipeline.ingest.turns import Work
from pipeline.settings import Settings
from pipeline.topics import topic_of

MAX_RECORD_BYTES = 900_000
"""Of one event in Kafka. A broker's own default limit is 1 MiB, and JSON may grow when it is written anew."""
CONTAINER_BYTES = 64
"""What an object or an array costs in memory, however little is in it: 5,000,000 empty ones fit into 15 MB of JSON."""
CONTAINERS_OF_AN_EVENT = 100
"""What a batch may always have, for each event that it may have."""

_LEAST_EVENT_BYTES = len(b'{"event":"a","user_id":"b"}')
_AT_ONCE_BYTES = 1024 * 1024  # read in one piece; so many take up to 30 ms, where the event loop may wait for 50
_FEW_ARRAYS_BYTES = 256 * 1024  # that are arrays and nothing else take 25 ms
_ARRAYS_OF_AN_EVENT = 8  # at most, of most

_event_type, _user = attrgetter("event"), attrgetter("user_id")


class Taken(Struct, frozen=True, gc=False):
    """The events of a batch that are valid, ``places``: where in it they stand; and those that are not."""

    records: Records
    places: Sequence[int]
    rejected: list[Rejected]


class EventReader:
    """Reads bodies, decompressed, of one event or of a batch. Bounded by the settings.

    The work is bounded before it is done: 5,000,000 empty objects, which 17 kB of gzip can hold, would be some seconds
    of it. So a batch has no more objects and arrays than would fill its bound of bytes, at what each costs in memory.
    """

    def __init__(self, settings: Settings) -> None:
        """Topics and bounds are those of ``settings``."""
        api = settings.api
        self._topics = _Topics(settings)
        self._batches = BatchReader(api.max_batch_events)
        self._max_batch_events = api.max_batch_events
        # Not more than one of several clients may hold: a batch of few events would be refused for what it might have.
        self._most_events = max(1, min(api.max_batch_events, int(api.max_in_flight_events * SHARE)))
        self._max_event_bytes = api.max_event_bytes
        self._most_containers = max(
            api.max_decompressed_bytes // CONTAINER_BYTES, CONTAINERS_OF_AN_EVENT * api.max_batch_events
        )
        self._most_usual_bytes = min(api.max_event_bytes, MAX_RECORD_BYTES)

    def one(self, body: bytes, received_ms: int) -> tuple[str, Records]:
        """Give the event id of the one event in ``body``, and its record.

        Raises:
            InvalidEventError: it cannot be taken, and why.
        """
        event = usual_event(body) or read_event(body)
        complete(event, received_ms)
        return event.event_id or "", Records((self._topics[event.event],), (event.user_id,), (_message(event),))

    def is_small(self, body: bytes) -> bool:
        """Say whether ``body`` is read in a time for which the event loop can wait."""
        size_bytes = len(body)
        return size_bytes <= _FEW_ARRAYS_BYTES or (
            size_bytes <= _AT_ONCE_BYTES and body.count(b"[") <= _ARRAYS_OF_AN_EVENT * self._max_batch_events
        )

    def most_events(self, size_bytes: int) -> int:
        """Give how many events a batch of this size may have."""
        return min(self._most_events, size_bytes // _LEAST_EVENT_BYTES + 1)

    def batch(self, body: bytes, received_ms: int) -> Taken | None:
        """Give the events of a small batch all at once, where they are as most are; None where not."""
        events = usual_events(body, self._max_batch_events)
        if not events or len(events) > self._max_batch_events:
            return None
        for event in events:
            if event.timestamp is None or event.event_id is None:
                complete(event, received_ms)
        messages = list(map(message_of, events))
        # What a body has more than its messages, spaces for instance, may all be of one event.
        beyond = max(0, len(body) - sum(map(len, messages)))
        if beyond + max(map(len, messages)) > self._most_usual_bytes:
            return None
        return Taken(self._records(events, messages), range(len(events)), [])

    async def one_by_one(self, body: bytes, received_ms: int, hold: Hold, work: Work) -> Taken:
        """Give what :meth:`batch` does of any batch, in slices; ``hold`` grows by what comes out larger.

        Raises:
            RefusedError: it is no batch, or has too many events or containers.
            UnavailableError: ``hold`` may not grow, or others do long work.
        """
        if len(body) // 2 > self._most_containers:  # it may have more, as far as its size says
            containers = body.count(b"{") + body.count(b"[")
            if containers > self._most_containers:
                message = f"{containers} objects and arrays, where {self._most_containers} are taken: send less at once"
                raise RefusedError(413, "body_too_large", message)
        reading = _Reading(self._max_event_bytes, received_ms)
        left_bytes = len(body)
        work.begin()
        for data in self._batches.split(body):
            if data is not None:
                left_bytes -= reading.add(data)
                if left_bytes < 0:  # what is written anew has become larger than it was sent
                    hold.grow(-left_bytes)
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

    def add(self, data: memoryview) -> int:
        """Read one more event, in ``data``; give the size of its message, 0 where it is refused."""
        place = self._number
        self._number += 1
        try:
            if len(data) > self._max_event_bytes:
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
        """Whether there was no JSON in any place."""
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

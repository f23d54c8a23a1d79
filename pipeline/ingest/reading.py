"""From the body of a request to its events as Kafka takes them, and those of them that are refused."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct

from pipeline.errors import InvalidEventError
from pipeline.events import Event, complete, message_of, read_event, usual_event, usual_events
from pipeline.ingest.answers import Rejected
from pipeline.ingest.batches import BatchReader
from pipeline.ingest.submission import Records
from pipeline.settings import Settings
from pipeline.topics import topic_of

MAX_RECORD_BYTES = 900_000
"""Of one event in Kafka. A broker's own default limit is 1 MiB, and JSON may grow when it is written anew."""

_event_type, _user = attrgetter("event"), attrgetter("user_id")


class Taken(Struct, frozen=True, gc=False):
    """The events of a batch that are valid, ``places``: where in it they stand; and those that are not."""

    records: Records
    places: Sequence[int]
    rejected: list[Rejected]


class EventReader:
    """Reads bodies, decompressed, of one event or of a batch. Bounded by the settings."""

    def __init__(self, settings: Settings) -> None:
        """Topics and bounds are those of ``settings``."""
        api = settings.api
        self._topics = _Topics(settings)
        self._batches = BatchReader(api.max_batch_events)
        self._max_batch_events = api.max_batch_events
        self._max_event_bytes = api.max_event_bytes
        self._most_usual_bytes = min(api.max_event_bytes, MAX_RECORD_BYTES)

    def one(self, body: bytes, received_ms: int) -> tuple[str, Records]:
        """Give the event id of the one event in ``body``, and its record.

        Raises:
            InvalidEventError: it cannot be taken, and why.
        """
        event = usual_event(body) or read_event(body)
        complete(event, received_ms)
        return event.event_id or "", Records((self._topics[event.event],), (event.user_id,), (_message(event),))

    def batch(self, body: bytes, received_ms: int) -> Taken:
        """Give the events of a batch: all at once where they are as most are, else one by one.

        Raises:
            RefusedError: it is no batch, or has too many events.
        """
        events = usual_events(body, self._max_batch_events)
        if events and len(events) <= self._max_batch_events:
            for event in events:
                if event.timestamp is None or event.event_id is None:
                    complete(event, received_ms)
            messages = list(map(message_of, events))
            # What a body has more than its messages, spaces for instance, may all be of one event.
            beyond = max(0, len(body) - sum(map(len, messages)))
            if beyond + max(map(len, messages)) <= self._most_usual_bytes:
                return Taken(self._records(events, messages), range(len(events)), [])
        return self._one_by_one(body, received_ms)

    def _one_by_one(self, body: bytes, received_ms: int) -> Taken:
        events: list[Event] = []
        messages: list[bytes] = []
        places: list[int] = []
        rejected: list[Rejected] = []
        for place, data in enumerate(self._batches.split(body)):
            try:
                if len(memoryview(data)) > self._max_event_bytes:
                    raise _too_large(self._max_event_bytes)
                event = read_event(data)
                complete(event, received_ms)
                messages.append(_message(event))
            except InvalidEventError as error:
                rejected.append(Rejected(place, error.code, str(error)))
            else:
                events.append(event)
                places.append(place)
        return Taken(self._records(events, messages), places, rejected)

    def _records(self, events: Sequence[Event], messages: Sequence[bytes]) -> Records:
        topics = self._topics
        return Records([topics[each.event] for each in events], list(map(_user, events)), messages)


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

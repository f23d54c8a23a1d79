"""The event as a client sends it: what is taken, what is refused and why, and the message it becomes.

Refused here is also what could never be stored: the client learns it at once, instead of an
operator from the dead letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from pipeline.errors import InvalidEventError
from pipeline.messages.identifiers import new_event_id
from pipeline.messages.malformed import field_at_fault
from pipeline.messages.timestamps import read_timestamp

MAX_DEPTH = 64
"""Levels of objects and arrays in ``props``. MongoDB stores 100 levels of a document, ours among them."""

_MAX_SHOWN = 100  # characters of a path, which is the client's own text, in a message
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_CHECKED = frozenset((int, dict, list))
_JSON_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "object | null": "object",
    "str | null": "string",
}
_QUOTED = re.compile(r"`([^`]*)`")
_PLACE = re.compile(r"^(?P<what>.*) - at `\$\.?(?P<field>.*)`$", re.DOTALL)
_NAMED_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<field>.*)`$", re.DOTALL)


class Event(Struct, forbid_unknown_fields=True, gc=False):
    """One event, its fields in the order of the message. What is null counts as left out."""

    event: Annotated[str, Meta(min_length=1, max_length=200, description="The event's type.", examples=["page_view"])]
    user_id: Annotated[
        str, Meta(min_length=1, max_length=256, description="Whose event it is; the key in Kafka.", examples=["123"])
    ]
    props: (
        Annotated[
            dict[str, Any],
            Meta(
                description=f"Anything about it: up to {MAX_DEPTH} levels, integers of up to 8 bytes.",
                examples=[{"url": "/home", "ref": "google"}],
            ),
        ]
        | None
    ) = None
    timestamp: (
        Annotated[
            str,
            Meta(
                description="When it happened, ISO 8601, UTC where it has no offset; the time of receipt by default.",
                examples=["2025-11-26T12:00:00Z"],
                extra_json_schema={"format": "date-time"},
            ),
        ]
        | None
    ) = None
    event_id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                description="Makes sending it again safe: one id is stored once. A new UUIDv7 by default.",
                examples=["01932f2e-9d3b-7c41-a2b8-1f6d0c9e4b57"],
            ),
        ]
        | None
    ) = None


_Int64 = Annotated[int, Meta(ge=_INT64_MIN, le=_INT64_MAX)]
_Scalar = _Int64 | str | float | bool | None
_Flat = _Scalar | list[_Scalar] | dict[str, _Scalar]
_Nested = _Scalar | list[_Flat] | dict[str, _Flat]


class _Usual(Event, gc=False):
    """An event as nearly all are: its ``props`` in a type that the decoder checks at no cost."""

    props: dict[str, _Nested] | None = None


class _Envelope(Struct, forbid_unknown_fields=True, gc=False):
    events: list[_Usual]


_decode = msgspec.json.Decoder(Event).decode
_decode_usual = msgspec.json.Decoder(_Usual).decode
_decode_array = msgspec.json.Decoder(list[_Usual]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder().encode
_BLANKS = b" \t\n\r"
_NUL = b"\\u0000"  # JSON has no other way to write it
_BRACES_OF_AN_EVENT = 8  # at most, of most: its own, its props', and those of what is in them
_MOST_KNOWN, _LONGEST_KNOWN = 10_000, 40
_known_timestamps: set[str] = set()  # that can be read; the events of one moment share theirs


def read_event(data: bytes | memoryview | msgspec.Raw) -> Event:
    """Return the event in ``data``, one JSON object.

    Raises:
        InvalidEventError: ``invalid_json`` for what is no JSON, ``invalid_event`` for all else;
            the message begins with the field and says what is wrong with it.
    """
    try:
        event = _decode(data)
    except msgspec.ValidationError as error:
        raise InvalidEventError("invalid_event", explain(error)) from error
    except RecursionError as error:
        raise InvalidEventError("invalid_event", f"props: nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:  # malformed, or not UTF-8
        fault = field_at_fault(bytes(data))
        if fault is not None:
            raise InvalidEventError("invalid_event", fault) from error
        raise InvalidEventError("invalid_json", f"this is not JSON: {error}") from error
    if event.props is None:
        event.props = {}
    else:
        _check_storable(event.props, "props", 1)
    if event.timestamp is not None and read_timestamp(event.timestamp) is None:
        message = f"timestamp: {event.timestamp[:50]!r} cannot be read; send ISO 8601, such as 2025-11-26T12:00:00Z"
        raise InvalidEventError("invalid_event", message)
    return event


def usual_event(data: bytes) -> Event | None:
    """Return the event in ``data`` as :func:`read_event` would, at less cost; None where that is to judge."""
    if _NUL in data:
        return None
    try:
        event = _decode_usual(data)
    except (ValueError, RecursionError):
        return None
    return event if _is_usual(event) else None


def usual_events(data: bytes, most: int) -> Sequence[Event] | None:
    """Return all events of a batch as :func:`read_event` would one by one; None where one is not as most are.

    ``data``: ``{"events": [...]}``, or the array alone. How many there are is left to the caller; but where far more
    than ``most`` may be in it, none of them is made.
    """
    if _NUL in data or data.count(b"{") > _BRACES_OF_AN_EVENT * most:
        return None
    try:
        is_array = data[:1] == b"[" or (data[:1] in _BLANKS and data.lstrip()[:1] == b"[")
        events = _decode_array(data) if is_array else _decode_envelope(data).events
    except (ValueError, RecursionError):
        return None
    return events if all(map(_is_usual, events)) else None


def complete(event: Event, received_ms: int) -> None:
    """Fill in what the client left out: the time of receipt (Unix, ms) as timestamp, a new event id."""
    if event.timestamp is None:
        event.timestamp = iso_8601(received_ms)
    if event.event_id is None:
        event.event_id = new_event_id()


def message_of(event: Event) -> bytes:
    """Return the Kafka message of a completed event: its fields in JSON, in their order."""
    return _encode(event)


def iso_8601(unix_ms: int) -> str:
    """Return a time as in the seed's messages, in UTC and with milliseconds."""
    moment = datetime.fromtimestamp(unix_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_ms % 1000:03d}Z"


def explain(error: msgspec.ValidationError) -> str:
    """Return the library's message as ``field: what is wrong``, in JSON's words."""
    text = str(error)
    named = _NAMED_FIELD.match(text)
    if named:
        unknown = named["what"] == "contains unknown"
        known = ", ".join(Event.__struct_fields__)
        return f"{named['field'][:100]}: " + (f"unknown field; an event has {known}" if unknown else "is missing")
    placed = _PLACE.match(text)
    what, field = (placed["what"], placed["field"]) if placed else (text, "")
    what = _QUOTED.sub(lambda quoted: _JSON_NAMES.get(quoted[1], quoted[1]), what)
    return f"{field or 'this'}: {what[:1].lower()}{what[1:]}"


def _is_usual(event: Event) -> bool:
    """Whether what the decoder does not check is in order too; what is null becomes what it stands for."""
    if event.props is None:
        event.props = {}
    timestamp = event.timestamp
    return timestamp is None or timestamp in _known_timestamps or _is_readable(timestamp)


def _is_readable(timestamp: str) -> bool:
    if len(timestamp) > _LONGEST_KNOWN or read_timestamp(timestamp) is None:
        return False
    if len(_known_timestamps) >= _MOST_KNOWN:
        _known_timestamps.clear()
    _known_timestamps.add(timestamp)
    return True


def _check_storable(value: dict[str, Any], path: str, depth: int) -> None:
    """Refuse what BSON cannot hold: integers over 8 bytes, NUL in a name, too many levels."""
    for key, inner in value.items():
        if "\0" in key:
            message = f"{path[:_MAX_SHOWN]}: the name {key[:50]!r} holds a NUL character"
            raise InvalidEventError("invalid_event", message)
        if inner.__class__ in _CHECKED:
            _check_value(inner, path, key, depth)


def _check_value(value: Any, path: str, key: object, depth: int) -> None:
    """One value of an object or an array, of a kind that BSON may not be able to hold."""
    if value.__class__ is int:
        if not _INT64_MIN <= value <= _INT64_MAX:
            what = "this integer needs more than 8 bytes; send it as a string"
            raise InvalidEventError("invalid_event", f"{path[:_MAX_SHOWN]}.{str(key)[:50]}: {what}")
        return
    if depth == MAX_DEPTH:
        raise InvalidEventError("invalid_event", f"{path[:_MAX_SHOWN]}: nested deeper than {MAX_DEPTH} levels")
    # Shortened: copying a name of 30 kB for each of the 10,000 objects in it took most of the time.
    inner_path = f"{path[:_MAX_SHOWN]}.{str(key)[:_MAX_SHOWN]}"
    if value.__class__ is dict:
        _check_storable(value, inner_path, depth + 1)
    else:
        for place, inner in enumerate(value):
            if inner.__class__ in _CHECKED:
                _check_value(inner, inner_path, place, depth + 1)

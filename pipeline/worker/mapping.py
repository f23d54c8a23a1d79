"""From a Kafka record to the document that is stored: the seed's format, and nothing guessed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct

from pipeline.errors import InvalidEventError
from pipeline.messages.identifiers import document_id, uuid7_document_id, uuid7_document_ids
from pipeline.messages.origin import Headers, origin_of
from pipeline.messages.timestamps import read_timestamp, read_timestamps, record_time
from pipeline.store import Document
from pipeline.store import identifier as stored_identifier

ORIGINAL_TIMESTAMP = "original_timestamp"
"""Where ``props`` keep a timestamp that could not be read."""

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


class Record(Protocol):
    """A Kafka record as aiokafka returns it; ``timestamp`` in milliseconds, sizes in bytes, -1 for none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    serialized_value_size: int


class _Message(Struct, gc=False):
    """A message as any producer in the seed's format may write it."""

    event: Annotated[str, Meta(min_length=1)]
    user_id: str | int
    props: dict[str, Any] | None = None
    timestamp: Any = None
    event_id: str | int | None = None


_decode = msgspec.json.Decoder(_Message).decode
_value_of = attrgetter("value")
_event_id_of = attrgetter("event_id")
_timestamp_of = attrgetter("timestamp")


def documents_of(records: Sequence[Record]) -> tuple[list[Document], list[bytes]] | None:
    """Return the documents for ``records``, and the bytes of their ``_id``; or None: they are to be mapped one by one.

    That is where :func:`document_of` would refuse one of them, or one has no timestamp that can be
    read. What nearly all have in common is done for all at once, column by column: two thirds of
    the work. A hundred or so at a time are best; of more, the processor's cache holds too little.
    """
    try:
        messages = list(map(_decode, map(_value_of, records)))
    except (ValueError, TypeError, RecursionError):  # no event, or no value at all
        return None
    times = read_timestamps(list(map(_timestamp_of, messages)))
    if times is None:
        return None
    identifiers = uuid7_document_ids(list(map(_event_id_of, messages)))
    if identifiers is None:
        pairs = zip(messages, records, strict=True)
        identifiers = [_identifier(message.event_id, record, record.value or b"") for message, record in pairs]
    documents, made = [], stored_identifier
    for message, identifier, when in zip(messages, identifiers, times, strict=True):
        user_id = message.user_id
        documents.append(
            {
                "_id": made(identifier),
                "event_type": message.event,
                "user_id": user_id if user_id.__class__ is str else str(user_id),
                "props": _named_as_stored(message.props),
                "timestamp": when,
            }
        )
    return documents, identifiers


def document_of(record: Record) -> Document:
    """Return the document for ``record``.

    Raises:
        InvalidEventError: the record is no event in the seed's format; ``code`` is the reason.
    """
    value = record.value
    if not value:
        raise InvalidEventError("empty", "the record has no value")
    try:
        message = _decode(value)
    except msgspec.ValidationError as error:
        raise InvalidEventError("invalid_event", str(error)) from error
    except (ValueError, RecursionError) as error:  # malformed JSON, invalid UTF-8, nested too deeply
        raise InvalidEventError("malformed_json", str(error)) from error
    props = _named_as_stored(message.props)
    timestamp = message.timestamp
    when = read_timestamp(timestamp)
    if when is None:
        when = record_time(record.timestamp)
        if timestamp is not None:
            _keep_original(props, timestamp)
    user_id = message.user_id
    return {
        "_id": stored_identifier(_identifier(message.event_id, record, value)),
        "event_type": message.event,
        "user_id": user_id if user_id.__class__ is str else str(user_id),
        "props": props,
        "timestamp": when,
    }


def _named_as_stored(props: dict[str, Any] | None) -> dict[str, Any]:
    """Return ``props`` with the names that documents have, or none."""
    if props is None:
        return {}
    if "ref" in props and "referrer" not in props:
        props["referrer"] = props.pop("ref")
    return props


def _identifier(event_id: str | int | None, record: Record, value: bytes) -> bytes:
    if isinstance(event_id, str):
        identifier = uuid7_document_id(event_id)
        if identifier is not None:
            return identifier
    origin = origin_of(record)  # so that a letter that is replayed twice is stored once
    return document_id(
        event_id if event_id is None else str(event_id),
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        timestamp_ms=record.timestamp,
        value=value,
    )


def _keep_original(props: dict[str, Any], timestamp: Any) -> None:
    """Put ``timestamp`` into ``props`` under a name that is free, as something that a store can hold."""
    name = ORIGINAL_TIMESTAMP
    while name in props:
        name += "_"
    if isinstance(timestamp, int) and not _INT64_MIN <= timestamp <= _INT64_MAX:
        timestamp = str(timestamp)
    props[name] = timestamp

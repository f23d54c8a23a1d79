"""From a Kafka record to the document that is stored: the seed's format, and nothing guessed."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

import msgspec
from bson import ObjectId
from msgspec import Meta, Struct

from pipeline.errors import InvalidEventError
from pipeline.identifiers import document_id, uuid7_document_id
from pipeline.store import Document
from pipeline.timestamps import read_timestamp, record_time

ORIGINAL_TIMESTAMP = "original_timestamp"
"""Where ``props`` keep a timestamp that could not be read."""

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


class Record(Protocol):
    """A Kafka record as aiokafka gives it; ``timestamp`` in milliseconds, sizes in bytes, -1 for none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    serialized_value_size: int


class _Message(Struct, gc=False):
    """A message as any producer in the seed's format may write it."""

    event: Annotated[str, Meta(min_length=1)]
    user_id: str | int
    props: dict[str, Any] | None = None
    timestamp: Any = None
    event_id: str | int | None = None


_decode = msgspec.json.Decoder(_Message).decode


def document_of(record: Record) -> Document:
    """Give the document for ``record``.

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
    props = message.props
    if props is None:
        props = {}
    elif "ref" in props and "referrer" not in props:
        props["referrer"] = props.pop("ref")
    timestamp = message.timestamp
    when = read_timestamp(timestamp)
    if when is None:
        when = record_time(record.timestamp)
        if timestamp is not None:
            _keep_original(props, timestamp)
    user_id = message.user_id
    return {
        "_id": ObjectId(_identifier(message.event_id, record, value)),
        "event_type": message.event,
        "user_id": user_id if user_id.__class__ is str else str(user_id),
        "props": props,
        "timestamp": when,
    }


def _identifier(event_id: str | int | None, record: Record, value: bytes) -> bytes:
    if isinstance(event_id, str):
        identifier = uuid7_document_id(event_id)
        if identifier is not None:
            return identifier
    return document_id(
        event_id if event_id is None else str(event_id),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        value=value,
    )


def _keep_original(props: dict[str, Any], timestamp: Any) -> None:
    """Put ``timestamp`` into ``props`` under a name that is free, as something that BSON can hold."""
    name = ORIGINAL_TIMESTAMP
    while name in props:
        name += "_"
    if isinstance(timestamp, int) and not _INT64_MIN <= timestamp <= _INT64_MAX:
        timestamp = str(timestamp)
    props[name] = timestamp

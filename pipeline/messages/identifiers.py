"""Identifiers: the event id that a client may send, and the ``_id`` that the document gets.

The layout is a permanent contract: docs/identifiers.md describes it, with the vectors that the tests
check. An ``_id`` is a function of the message alone, so that a redelivery and a client's retry
meet the document that is already there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b

from uuid_utils import uuid7

_UUID_TEXT_LENGTH = 36
_UUID_BYTES = 16
_SECONDS_MASK = 0xFFFF_FFFF
_ORIGIN = struct.Struct(">iqq")  # partition, offset, record timestamp
_ID_BYTES = 12
_UNITS_PER_SECOND = 1000 << 16  # of a UUID's high half: milliseconds, then 16 bits of version and rand_a
_unpack_uuid = struct.Struct(">QQ").unpack
_iterate_uuids = struct.Struct(">QQ").iter_unpack
_pack_id = struct.Struct(">IQ").pack
_RFC_VARIANT = frozenset("89abAB")
_HYPHENS = (8, 13, 18, 23)


def new_event_id() -> str:
    """Return a new UUIDv7 (RFC 9562) in lower case; each one sorts after those that this process made before."""
    return str(uuid7())


def document_id(
    event_id: str | None, *, topic: str, partition: int, offset: int, timestamp_ms: int, value: bytes
) -> bytes:
    """Return the 12 bytes of a document's ``_id``.

    A UUIDv7 decides alone, then any other event id; without one (None or empty) the place of the
    record does: ``topic``, ``partition``, ``offset``, ``timestamp_ms`` (the record's) and
    ``value`` (the record's bytes).
    """
    if event_id:
        # A lone surrogate can stand in a JSON string; it must give an id like any other text.
        return (
            uuid7_document_id(event_id)
            or blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=_ID_BYTES).digest()
        )
    # No topic's name holds a NUL, and the numbers have fixed widths: no two origins read the same.
    origin = topic.encode() + b"\0" + _ORIGIN.pack(partition, offset, timestamp_ms)
    seconds = (timestamp_ms // 1000) & _SECONDS_MASK
    return seconds.to_bytes(4, "big") + blake2b(origin + value, digest_size=8).digest()


def uuid7_document_id(event_id: str) -> bytes | None:
    """Return the :func:`document_id` where ``event_id`` is a UUIDv7, else None.

    The short way for nearly all events: it needs nothing of the record.
    """
    if (
        len(event_id) == _UUID_TEXT_LENGTH
        and event_id[14] == "7"
        and event_id[8] == event_id[13] == event_id[18] == event_id[23] == "-"
        and event_id[19] in _RFC_VARIANT
    ):
        try:
            uuid = bytes.fromhex(event_id.replace("-", ""))
        except ValueError:
            return None
        # fromhex passes over white space, and further hyphens are gone: either leaves too few bytes.
        if len(uuid) == _UUID_BYTES:
            high, low = _unpack_uuid(uuid)
            return _pack_id(high // _UNITS_PER_SECOND & _SECONDS_MASK, low)
    return None


def uuid7_document_ids(event_ids: Sequence[str]) -> list[bytes] | None:
    """Return the :func:`uuid7_document_id` of each of ``event_ids``, or None where that is None for any.

    They are read as one text, which costs a third of reading them one by one. What is no text is no UUID either.
    """
    try:
        text = "".join(event_ids)
        lengths = set(map(len, event_ids))
    except TypeError:
        return None
    number = len(event_ids)
    if (
        lengths != {_UUID_TEXT_LENGTH}
        or any(text[at::_UUID_TEXT_LENGTH] != "-" * number for at in _HYPHENS)
        or text[14::_UUID_TEXT_LENGTH] != "7" * number
        or not _RFC_VARIANT.issuperset(text[19::_UUID_TEXT_LENGTH])
    ):
        return None
    try:
        uuids = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    # As above: whatever is no digit leaves too few bytes, and nothing makes up for it.
    if len(uuids) != _UUID_BYTES * number:
        return None
    return [_pack_id(high // _UNITS_PER_SECOND & _SECONDS_MASK, low) for high, low in _iterate_uuids(uuids)]

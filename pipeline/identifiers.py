"""Identifiers: the event id that a client may send, and the ``_id`` that the document gets.

The layout is a permanent contract: docs/identifiers.md tells it, with the vectors that the tests
check. An ``_id`` is a function of the message alone, so that a redelivery and a client's retry
meet the document that is already there.
"""

from __future__ import annotations

import os
import struct
import time
from hashlib import blake2b

_UUID_TEXT_LENGTH = 36
_UUID_BYTES = 16
_SECONDS_MASK = 0xFFFF_FFFF
_ORIGIN = struct.Struct(">iqq")  # partition, offset, record timestamp
_RFC_VARIANT = frozenset("89abAB")


def new_event_id() -> str:
    """Give a new UUIDv7 (RFC 9562) in lower case: 48 bits of Unix milliseconds, 74 random bits."""
    unix_ms = time.time_ns() // 1_000_000
    # The operating system's bits: processes forked from one parent never share a state.
    random_bits = int.from_bytes(os.urandom(10), "big")
    random_a, random_b = random_bits >> 68, random_bits & ((1 << 62) - 1)
    number = (unix_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def document_id(
    event_id: str | None, *, topic: str, partition: int, offset: int, timestamp_ms: int, value: bytes
) -> bytes:
    """Give the 12 bytes of a document's ``_id``.

    A UUIDv7 decides alone, then any other event id; without one (None or empty) the place of the
    record does: ``topic``, ``partition``, ``offset``, ``timestamp_ms`` (the record's) and
    ``value`` (the record's bytes).
    """
    if event_id:
        if len(event_id) == _UUID_TEXT_LENGTH and event_id[14] == "7":
            identifier = _from_uuid7(event_id)
            if identifier is not None:
                return identifier
        # A lone surrogate can stand in a JSON string; it must give an id like any other text.
        return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=12).digest()
    # No topic's name holds a NUL, and the numbers have fixed widths: no two origins read the same.
    origin = topic.encode() + b"\0" + _ORIGIN.pack(partition, offset, timestamp_ms)
    seconds = (timestamp_ms // 1000) & _SECONDS_MASK
    return seconds.to_bytes(4, "big") + blake2b(origin + value, digest_size=8).digest()


def _from_uuid7(text: str) -> bytes | None:
    """The ``_id`` of a UUIDv7 of 36 characters in any case; None where ``text`` is none."""
    if not (text[8] == text[13] == text[18] == text[23] == "-" and text[19] in _RFC_VARIANT):
        return None
    try:
        uuid = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    # fromhex passes over white space, and further hyphens are gone: either leaves too few bytes.
    if len(uuid) != _UUID_BYTES:
        return None
    seconds = (int.from_bytes(uuid[:6], "big") // 1000) & _SECONDS_MASK
    return seconds.to_bytes(4, "big") + uuid[8:]

"""A dead letter in Kafka: the record as it came, with headers for the reason and the origin.

Key and value are the record's own. Ours are the headers ``reason``, ``detail``, ``topic``, ``partition``, ``offset``
and ``timestamp`` (of the record, in ms); the record's headers follow in their order, each as ``header.NAME``. The
letter has its own time: Kafka deletes by it, and would delete a record of last year at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pipeline.messages.origin import Headers, Placed, origin_of, own_headers

OWN_PREFIX = "header."
CUT = "original_bytes"
"""The header of a letter that was too large for Kafka: how many bytes the value had."""

_DETAIL_CHARACTERS = 500
_CUT_BYTES = 256 * 1024


class Record(Placed, Protocol):
    """A Kafka record as aiokafka has it; ``timestamp`` in milliseconds."""

    timestamp: int
    key: bytes | None
    value: bytes | None


class Letter(NamedTuple):
    """What is sent to the dead-letter topic; ``origin`` for people."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    origin: str


def letter_of(record: Record, reason: str, detail: str) -> Letter:
    """Return the dead letter of ``record``; a replayed record keeps its first origin."""
    origin = origin_of(record)
    headers: list[tuple[str, bytes | None]] = [
        ("reason", reason.encode()),
        ("detail", detail[:_DETAIL_CHARACTERS].encode("utf-8", "backslashreplace")),
        ("topic", origin.topic.encode()),
        ("partition", str(origin.partition).encode()),
        ("offset", str(origin.offset).encode()),
        ("timestamp", str(record.timestamp).encode()),
    ]
    headers += [(OWN_PREFIX + name, value) for name, value in own_headers(record)]
    return Letter(record.key, record.value, headers, f"{origin.topic}/{origin.partition}@{origin.offset}")


def cut(letter: Letter) -> Letter | None:
    """Return a smaller ``letter``: with less of its value, then without headers, then without key, then None."""
    headers = [pair for pair in letter.headers if pair[0] != CUT]
    before = dict(letter.headers).get(CUT) or str(len(letter.value or b"")).encode()
    headers.append((CUT, before))
    if letter.value:
        at_most = _CUT_BYTES if len(letter.value) > _CUT_BYTES else len(letter.value) // 2
        return letter._replace(value=letter.value[:at_most], headers=headers)
    ours = [pair for pair in headers if not pair[0].startswith(OWN_PREFIX)]
    if ours != headers:
        return letter._replace(headers=ours)
    return letter._replace(key=None, headers=headers) if letter.key else None


def own_headers_of(headers: Headers) -> tuple[tuple[str, bytes | None], ...]:
    """Return the headers of the original record, from the ``headers`` of its letter."""
    return tuple((name.removeprefix(OWN_PREFIX), value) for name, value in headers if name.startswith(OWN_PREFIX))


def texts_of(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """Return our own headers as text."""
    return {
        name: value.decode(errors="replace")
        for name, value in headers
        if value is not None and not name.startswith(OWN_PREFIX)
    }

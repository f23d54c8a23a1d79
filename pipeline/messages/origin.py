"""The first place of a record: a replayed dead letter keeps the place where it was first read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

ORIGIN_HEADER = "tidemark.origin"
"""The header of a replayed record: topic/partition/offset of the record that became a dead letter."""

MOST_PARTITION, MOST_OFFSET = (1 << 31) - 1, (1 << 63) - 1
_MOST_DIGITS = 19

Headers = Sequence[tuple[str, bytes | None]]


class Placed(Protocol):
    """A record's place and headers."""

    topic: str
    partition: int
    offset: int
    headers: Headers


class Origin(NamedTuple):
    """A place in Kafka."""

    topic: str
    partition: int
    offset: int

    def header(self) -> tuple[str, bytes]:
        """Return the header that keeps it."""
        return ORIGIN_HEADER, f"{self.topic}/{self.partition}/{self.offset}".encode()


def origin_of(record: Placed) -> Origin:
    """Return the place where ``record`` was first read: its own, unless a replay sent it."""
    for name, value in record.headers:
        if name == ORIGIN_HEADER:
            topic, _, rest = (value or b"").decode(errors="replace").partition("/")
            partition, _, offset = rest.partition("/")
            read_at = number_of(partition, MOST_PARTITION), number_of(offset, MOST_OFFSET)
            if topic and read_at[0] is not None and read_at[1] is not None:
                return Origin(topic, read_at[0], read_at[1])
    return Origin(record.topic, record.partition, record.offset)


def number_of(text: str, most: int) -> int | None:
    """Return the number in ``text``, from 0 to ``most``; None where it is none: any producer can set a header."""
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS:
        return None
    number = int(text)
    return number if number <= most else None


def own_headers(record: Placed) -> Headers:
    """Return the headers that the record's producer set."""
    return [pair for pair in record.headers if pair[0] != ORIGIN_HEADER]

"""Reading the timestamps that producers write, most of them ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # naive and in UTC: what the encoder takes without a detour
_MIN_MS = -62_135_596_800_000  # 0001-01-01, the first that readers in Python can decode
_MAX_MS = 253_402_300_799_999  # the last of 9999
_DATE_LENGTH = 10
_offset_of = attrgetter("tzinfo")


def read_timestamp(value: Any) -> datetime | None:
    """Return ``value`` as a naive datetime in UTC, or None where it cannot be read without guessing.

    Read is ISO 8601 with hyphens in the date, with or without time, fraction and offset; without
    an offset it is UTC. Numbers are not read: whether they count seconds, milliseconds or
    something else would be a guess. The encoder cuts off what is finer than a millisecond.
    """
    if value.__class__ is not str:
        return None
    try:
        if value[-1:] == "Z" and value[_DATE_LENGTH:11] == "T" and value[4] == "-":  # nearly all of them
            parsed = datetime.fromisoformat(value[:-1])
            return parsed if parsed.tzinfo is None else None
        if not _is_extended(value):
            return None
        parsed = datetime.fromisoformat(value.upper())
        return parsed if parsed.tzinfo is None else parsed.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def read_timestamps(values: Sequence[Any]) -> list[datetime] | None:
    """Return the result of :func:`read_timestamp` for each of ``values``, or None where that is None for any.

    Where all have the usual form and one length they are read as one text, which costs a third of
    reading them one by one.
    """
    return _read_alike(values) or _read_each(values)


def _read_alike(values: Sequence[Any]) -> list[datetime] | None:
    try:
        text = "".join(values)
        lengths = set(map(len, values))
    except TypeError:  # not all are texts
        return None
    number, length = len(values), max(lengths, default=0)
    if (
        len(lengths) != 1
        or length <= _DATE_LENGTH
        or text[length - 1 :: length] != "Z" * number
        or text[_DATE_LENGTH::length] != "T" * number
        or text[4::length] != "-" * number
    ):
        return None
    try:
        parsed = list(map(datetime.fromisoformat, text[:-1].split("Z")))
    except ValueError:
        return None
    # More than there were: a Z within one. With an offset as well as a Z: cannot be read.
    return parsed if len(parsed) == number and not any(map(_offset_of, parsed)) else None


def _read_each(values: Sequence[Any]) -> list[datetime] | None:
    found = []
    for value in values:
        when = read_timestamp(value)
        if when is None:
            return None
        found.append(when)
    return found


def record_time(timestamp_ms: int) -> datetime:
    """Return a record's timestamp as a naive datetime in UTC, held within the years 1 to 9999."""
    return _EPOCH + timedelta(milliseconds=min(max(timestamp_ms, _MIN_MS), _MAX_MS))


def _is_extended(text: str) -> bool:
    """Whether ``text`` can be ``YYYY-MM-DD`` with nothing, T or a space after it.

    The basic format (20251126T120000) is left out: digits alone may as well be a count of
    milliseconds, and some of these would be read as a date in the year 1711.
    """
    length = len(text)
    return length >= _DATE_LENGTH and text[4] == "-" and (length == _DATE_LENGTH or text[_DATE_LENGTH] in "Tt ")

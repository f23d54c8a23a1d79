"""Reading the timestamps that producers write, most of them ISO 8601 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # naive and in UTC: what the encoder takes without a detour
_MIN_MS = -62_135_596_800_000  # 0001-01-01, the first that readers in Python can decode
_MAX_MS = 253_402_300_799_999  # the last of 9999
_DATE_LENGTH = 10


def read_timestamp(value: Any) -> datetime | None:
    """Give ``value`` as a naive datetime in UTC, or None where it cannot be read without guessing.

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


def record_time(timestamp_ms: int) -> datetime:
    """Give a record's timestamp as a naive datetime in UTC, held within the years 1 to 9999."""
    return _EPOCH + timedelta(milliseconds=min(max(timestamp_ms, _MIN_MS), _MAX_MS))


def _is_extended(text: str) -> bool:
    """Whether ``text`` can be ``YYYY-MM-DD`` with nothing, T or a space after it.

    The basic format (20251126T120000) is left out: digits alone may as well be a count of
    milliseconds, and some of these would be read as a date in the year 1711.
    """
    length = len(text)
    return length >= _DATE_LENGTH and text[4] == "-" and (length == _DATE_LENGTH or text[_DATE_LENGTH] in "Tt ")

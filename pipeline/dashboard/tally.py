"""What rows add to an aggregate, worked out once for the minute and the day that they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.dashboard.rows import Row, RowsOfMinute, clean


class FunnelCondition(NamedTuple):
    """A step of the funnel: an event type, and a part of the URL where only some pages count."""

    event_type: str
    url_part: str = ""

    @classmethod
    def parse(cls, text: str) -> FunnelCondition:
        """Read a step of the setting: ``type`` or ``type:part of the URL``."""
        return cls(*text.split(":", 1))

    def __str__(self) -> str:
        return f"{self.event_type}:{self.url_part}" if self.url_part else self.event_type


class Tally(NamedTuple):
    """Counts of rows; ``types`` by name and step of ten seconds, ``funnel`` the users by step."""

    types: Mapping[tuple[str, int], int]
    refused: int
    users: set[str]
    pages: Mapping[str, int]
    referrers: Mapping[str, int]
    funnel: Mapping[str, set[str]]


class Tallies:
    """The tallies of a batch's parts: that of a whole part is kept, as two documents ask for it."""

    def __init__(self, steps: Sequence[FunnelCondition]) -> None:
        """``steps``: the funnel's."""
        self._steps = steps
        self._whole: dict[int, tuple[RowsOfMinute, Tally]] = {}

    def tally(self, part: RowsOfMinute, offset: int) -> Tally:
        """Return the tally of the rows of ``part`` from ``offset`` on."""
        if part.rows[0].offset < offset:
            return tally_of(part.since(offset), self._steps)
        known = self._whole.get(id(part))  # with the part itself, so that no other can have its id
        if known is None:
            known = self._whole[id(part)] = part, tally_of(part.rows, self._steps)
        return known[1]


def tally_of(rows: Sequence[Row], steps: Sequence[FunnelCondition]) -> Tally:
    """Count ``rows``, of which there is at least one."""
    _, bins, event_types, user_ids, urls, referrers = zip(*rows, strict=True)
    types = Counter(zip(event_types, bins, strict=True))
    named = {event_type for event_type, _ in types if event_type}
    refused = sum(count for (event_type, _), count in types.items() if not event_type)
    return Tally(
        _cleaned(types),
        refused,
        {row.user_id for row in rows if row.event_type} if refused else set(user_ids),
        _names(urls),
        _names(referrers),
        {str(step): _users(rows, step) if step.event_type in named else set() for step in steps},
    )


def _cleaned(types: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    counts: dict[tuple[str, int], int] = {}
    for (event_type, number), count in types.items():
        if event_type:
            key = clean(event_type), number
            counts[key] = counts.get(key, 0) + count  # two long names may be one when they are cut
    return counts


def _names(texts: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text, count in Counter(texts).items():
        if text:
            name = clean(text)
            counts[name] = counts.get(name, 0) + count
    return counts


def _users(rows: Sequence[Row], step: FunnelCondition) -> set[str]:
    if step.url_part:
        return {row.user_id for row in rows if row.event_type == step.event_type and step.url_part in row.url}
    return {row.user_id for row in rows if row.event_type == step.event_type}

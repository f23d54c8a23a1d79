"""What is counted of a minute and of a day, and the document that keeps it.

A document has, for each partition, up to which offset its records are in it. So a record that is read again (a
redelivery, a replay, a second member of the group) changes nothing: the count and the proof that a record is in it are
written in one replacement of one document. Counted are records on Kafka; docs/dashboard.md says what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bson import Binary

from pipeline.dashboard.rows import BINS, RowsOfMinute
from pipeline.dashboard.sketches import Distinct, Frequent
from pipeline.dashboard.tally import Tallies, Tally

OTHER = "(other)"
"""What types are counted as once there are too many of them."""

_MOST_TYPES = 32


class Scale(NamedTuple):
    """How long a document's time is and how closely it looks.

    ``bins``: equal parts of that time, in which types are counted apart. ``precision``: of the distinct users.
    ``names``: how many pages, and how many referrers, it keeps. ``has_funnel``: whether it counts the funnel's steps.
    """

    suffix: str
    length_ms: int
    bins: int
    precision: int
    names: int
    has_funnel: bool


MINUTE = Scale("minutes", 60_000, BINS, precision=11, names=50, has_funnel=False)
DAY = Scale("days", 24 * 3_600_000, 1, precision=13, names=500, has_funnel=True)
SCALES = (MINUTE, DAY)


class Aggregate:
    """The counts of one document. ``version`` 0: it is not in the database yet."""

    __slots__ = ("funnel", "next", "pages", "referrers", "refused", "scale", "start_ms", "types", "users", "version")

    def __init__(self, scale: Scale, start_ms: int) -> None:
        """An empty one; ``start_ms``: Unix time at which its time begins."""
        self.scale = scale
        self.start_ms = start_ms
        self.version = 0
        self.next: dict[str, int] = {}
        self.types: dict[str, list[int]] = {}
        self.refused = 0
        self.users = Distinct(scale.precision)
        self.pages = Frequent(scale.names)
        self.referrers = Frequent(scale.names)
        self.funnel: dict[str, Distinct] = {}

    @property
    def events(self) -> int:
        """How many events were counted."""
        return sum(map(sum, self.types.values()))

    def with_parts(self, parts: Iterable[RowsOfMinute], tallies: Tallies) -> Aggregate | None:
        """Return one with ``parts`` counted as well, or None if it has all of them already."""
        new: Aggregate | None = None
        for part in parts:
            done = (new or self).next.get(part.partition, 0)
            if part.end > done:
                new = new or self._copy()
                new._add(tallies.tally(part, done))  # noqa: SLF001  one of this class
                new.next[part.partition] = part.end
        return new

    def to_document(self, expires_at: datetime) -> dict[str, Any]:
        """Return the document; names stand in values, because a name in a document's key may not be any text."""
        return {
            "_id": at(self.start_ms),
            "expires_at": expires_at,
            "version": self.version,
            "next": [[partition, offset] for partition, offset in self.next.items()],
            "types": [[name, *counts] for name, counts in self.types.items()],
            "refused": self.refused,
            "users": Binary(self.users.packed()),
            "pages": _frequent_document(self.pages),
            "referrers": _frequent_document(self.referrers),
            "funnel": [[step, Binary(users.packed())] for step, users in self.funnel.items()],
        }

    @classmethod
    def from_document(cls, scale: Scale, document: Mapping[str, Any]) -> Aggregate:
        """Read what :meth:`to_document` gave; a part that a query left out is empty.

        Raises:
            ValueError: it is something else.
        """
        found = cls(scale, round(document["_id"].timestamp() * 1000))
        found.version = document.get("version", 0)
        found.next = dict(document.get("next", ()))
        found.types = {name: list(counts) for name, *counts in document.get("types", ())}
        if any(len(counts) != scale.bins for counts in found.types.values()):
            raise ValueError("counts of types are not those of this scale")
        found.refused = document.get("refused", 0)
        if "users" in document:
            found.users = Distinct.unpacked(scale.precision, document["users"])
        found.pages = _frequent_of(scale.names, document.get("pages"))
        found.referrers = _frequent_of(scale.names, document.get("referrers"))
        found.funnel = {step: Distinct.unpacked(scale.precision, users) for step, users in document.get("funnel", ())}
        return found

    def _copy(self) -> Aggregate:
        new = Aggregate(self.scale, self.start_ms)
        new.version = self.version
        new.next = dict(self.next)
        new.types = {name: list(counts) for name, counts in self.types.items()}
        new.refused = self.refused
        new.users = self.users.copy()
        new.pages, new.referrers = self.pages.copy(), self.referrers.copy()
        new.funnel = {step: users.copy() for step, users in self.funnel.items()}
        return new

    def _add(self, tally: Tally) -> None:
        for (name, number), count in tally.types.items():
            self._counts_of(name)[number if self.scale.bins > 1 else 0] += count
        self.refused += tally.refused
        self.users.add_all(tally.users)
        self.pages.add(tally.pages)
        self.referrers.add(tally.referrers)
        if self.scale.has_funnel:
            for step, users in tally.funnel.items():
                self.funnel.setdefault(step, Distinct(self.scale.precision)).add_all(users)

    def _counts_of(self, event_type: str) -> list[int]:
        name = event_type if event_type in self.types or len(self.types) < _MOST_TYPES else OTHER
        return self.types.setdefault(name, [0] * self.scale.bins)


def start_of(scale: Scale, time_ms: int) -> int:
    """Return when the minute or day of ``time_ms`` began, in UTC."""
    return time_ms // scale.length_ms * scale.length_ms


def at(time_ms: int) -> datetime:
    """Return ``time_ms`` as MongoDB has it."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)


def _frequent_document(names: Frequent) -> dict[str, Any]:
    return {
        "names": list(names.counts),
        "counts": list(names.counts.values()),
        "missed": names.missed,
        "total": names.total,
    }


def _frequent_of(capacity: int, document: Mapping[str, Any] | None) -> Frequent:
    if document is None:
        return Frequent(capacity)
    counts = dict(zip(document["names"], document["counts"], strict=True))
    return Frequent(capacity, counts, missed=document["missed"], total=document["total"])

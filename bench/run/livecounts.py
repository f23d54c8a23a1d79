"""How many events of the running repeat were offered, accepted and stored, for people."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

_RATE_OVER_S = 3.0
_MOST_KEPT = 64


class _Counts(NamedTuple):
    """Events since the repeat began, and when they were counted."""

    at_s: float
    offered: int
    accepted: int
    stored: int
    backlog: int | None


class LiveCounts:
    """Keeps the last counts, and reports them with the rate at which events are stored. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: deque[_Counts] = deque(maxlen=_MOST_KEPT)

    def clear(self) -> None:
        """Begin anew."""
        self._counts.clear()

    def count(self, offered: int, accepted: int, stored: int, backlog: int | None) -> None:
        """Take in what was counted now."""
        self._counts.append(_Counts(self._clock(), offered, accepted, stored, backlog))

    def numbers(self) -> str:
        """Return the last counts in words; empty where nothing was counted."""
        if not self._counts:
            return ""
        latest = self._counts[-1]
        rate = self._stored_per_s(latest)
        # What reports no backlog does not report either what it accepted: that is known when the ledger is read.
        of_group = "" if latest.backlog is None else f"  accepted {latest.accepted:,}"
        backlog = "" if latest.backlog is None else f"  backlog {latest.backlog:,}"
        return f"offered {latest.offered:,}{of_group}  stored {latest.stored:,}{backlog}" + (
            f"  ({rate:,.0f} stored/s)" if rate is not None else ""
        )

    def _stored_per_s(self, latest: _Counts) -> float | None:
        """Events stored per second over the last few seconds, None as long as there is nothing to take it from."""
        if self._clock() - latest.at_s > _RATE_OVER_S:
            return None
        recent = [counts for counts in self._counts if latest.at_s - counts.at_s <= _RATE_OVER_S]
        elapsed_s = latest.at_s - recent[0].at_s
        return (latest.stored - recent[0].stored) / elapsed_s if elapsed_s > 0 else None

"""Whether a probe under way is clearly lost, so that it can be stopped early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.search.sustained import ALLOWED_SHARE

LATE_SHARE = 0.01  # of the events may be later than a p99 objective
_MARGIN = 2.0  # what is counted live is late by a commit and a poll: only twice what is allowed is clearly lost
_BEST_RATE_MARGIN = 1.1
_BUSY_S = 1.0  # of offered load in the backlog: the system has work enough to show what it can
_STRETCH_S = 2.0
_BUSY_FOR_S = 4.0
_STEADY_S = 3.0
_FEWEST = 3


class RunningCounts(Struct, frozen=True):
    """What was counted at one moment: seconds from the epoch, and all events so far."""

    at_s: float
    accepted: int
    stored: int


def lost(
    seen: Sequence[RunningCounts],
    window_s: tuple[float, float],
    offered_events_per_s: float,
    delivery_latency_p99_ms: float | None = None,
) -> str | None:
    """Say why the probe can no longer be sustained, or None as long as it may be.

    ``seen``: in the order of time, about one a second. Two things settle it: more events are already too late than a
    p99 objective allows in the whole window; or the backlog cannot shrink to what rule 9 allows until the window's end
    even at the best rate that the system has shown with enough work at hand, and it is not standing still just now.
    """
    counted = _Counted(
        at_s=np.array([each.at_s for each in seen], dtype=np.float64),
        accepted=np.array([each.accepted for each in seen], dtype=np.float64),
        stored=np.array([each.stored for each in seen], dtype=np.float64),
    )
    start_s, end_s = window_s
    if len(seen) < _FEWEST or not start_s < counted.at_s[-1] < end_s:
        return None
    in_window = offered_events_per_s * (end_s - start_s)
    if delivery_latency_p99_ms is not None:
        late = _late(counted, start_s, delivery_latency_p99_ms / 1e3)
        if late > _MARGIN * LATE_SHARE * in_window:
            return (
                f"{late:,.0f} events of the window are already later than {delivery_latency_p99_ms:g} ms, "
                f"of {LATE_SHARE * in_window:,.0f} that may be"
            )
    growth = _least_growth(counted, window_s, offered_events_per_s)
    if growth is not None and growth > _MARGIN * ALLOWED_SHARE * in_window:
        return (
            f"the backlog would have grown by {growth:,.0f} events at the window's end even at the best rate seen, "
            f"and {ALLOWED_SHARE * in_window:,.0f} are allowed"
        )
    return None


class _Counted(NamedTuple):
    """What was seen, as columns."""

    at_s: NDArray[np.float64]
    accepted: NDArray[np.float64]
    stored: NDArray[np.float64]


def _late(counted: _Counted, start_s: float, limit_s: float) -> float:
    """Count events of the window that were, at some moment, accepted longer ago than the limit and not stored."""
    due = np.interp(counted.at_s - limit_s, counted.at_s, counted.accepted)
    older = np.maximum(counted.stored, np.interp(start_s, counted.at_s, counted.accepted))
    return float((due - older).max())


def _least_growth(counted: _Counted, window_s: tuple[float, float], offered_events_per_s: float) -> float | None:
    """Return by how much the backlog grows over the window if the best rate seen lasts; None: not known."""
    start_s, end_s = window_s
    backlog = counted.accepted - counted.stored
    busy = backlog >= _BUSY_S * offered_events_per_s
    first = len(busy) - int(np.argmin(busy[::-1])) if not busy.all() else 0  # of those that are busy up to now
    at_s, stored = counted.at_s[first:], counted.stored[first:]
    if len(at_s) < _FEWEST or at_s[-1] - at_s[0] < _BUSY_FOR_S:
        return None
    began = np.searchsorted(at_s, at_s - _STRETCH_S, side="right") - 1
    whole = began >= 0
    rates = (stored - stored[began])[whole] / (at_s - at_s[began])[whole]
    best = float(rates.max())
    steps = np.diff(stored) / np.diff(at_s)
    if steps[at_s[1:] > at_s[-1] - _STEADY_S].min() <= best / 2:
        return None  # it stood still a moment ago, and may catch up faster than it ever had to work
    last = np.searchsorted(counted.at_s, start_s, side="left")
    taken_s = counted.at_s[-1] - counted.at_s[last]
    taken = (counted.accepted[-1] - counted.accepted[last]) / taken_s if taken_s > 0 else offered_events_per_s
    per_s = min(offered_events_per_s, float(taken)) - _BEST_RATE_MARGIN * best
    at_end = max(0.0, float(backlog[-1]) + per_s * (end_s - float(counted.at_s[-1])))
    return at_end - float(np.interp(start_s, counted.at_s, backlog))

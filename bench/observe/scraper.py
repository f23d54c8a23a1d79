"""Figures of a server, read once a second in a thread of their own, and read over time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

PERIOD_S = 1.0
TIMEOUT_S = 2.0  # of one answer; a server that is stopped shall not keep a repeat waiting
_GIVE_UP_AFTER = 3  # answers that failed, none having come
_MOST_READINGS = 24 * 3600
_NS = 1_000_000_000

Figures = Mapping[str, float]


def read_all(reads: Iterable[Callable[[], Figures | None]]) -> list[Figures] | None:
    """Read each server; None where one does not answer: a sum without it would show a fall that there was not."""
    found = []
    for read in reads:
        figures = read()
        if figures is None:
            return None
        found.append(figures)
    return found


def added(found: Sequence[Figures], levels: Collection[str], mean: str) -> Figures:
    """Make one of several servers' figures: of ``levels`` the highest, of ``mean`` the mean, else the sum."""
    if len(found) == 1:
        return found[0]
    names = set.intersection(*(set(each) for each in found))
    total = {name: (max if name in levels else sum)(each[name] for each in found) for name in names}
    if mean in total:
        total[mean] /= len(found)
    return total


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CounterSeries:
    """What was read: when (monotonic ns), and each figure at those moments, NaN where it was not reported."""

    at_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    figures: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def counted(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return a counter's moments and totals since the first of them; one that was set back (a restart) goes on."""
        at_ns, values = self.reported(name)
        steps = np.diff(values, prepend=values[:1])
        return at_ns, np.cumsum(np.where(steps < 0, values, steps))

    def reported(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the moments at which a figure was reported, and the figure."""
        values = self.figures.get(name)
        if values is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        there = ~np.isnan(values)
        return self.at_ns[there], values[there]

    def per_s(self, name: str, start_ns: int, end_ns: int) -> float | None:
        """Return a counter's mean rate over a time, which the readings must nearly enclose; None: not reported."""
        at_ns, totals = self.counted(name)
        near_ns = 2 * PERIOD_S * _NS
        if len(at_ns) < 2 or end_ns <= start_ns or at_ns[0] > start_ns + near_ns or at_ns[-1] < end_ns - near_ns:  # noqa: PLR2004 - a rate needs two
            return None
        from_ns, to_ns = max(start_ns, int(at_ns[0])), min(end_ns, int(at_ns[-1]))
        if to_ns <= from_ns:
            return None
        first, last = np.interp([from_ns, to_ns], at_ns, totals)
        return float(last - first) / ((to_ns - from_ns) / _NS)

    def within(self, name: str, start_ns: int, end_ns: int) -> NDArray[np.float64]:
        """Return the values of a level as read from ``start_ns`` until ``end_ns``."""
        at_ns, values = self.reported(name)
        return values[(at_ns >= start_ns) & (at_ns <= end_ns)]

    def growth(self, name: str, edges_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how much a counter grew between neighbouring ``edges_ns``, interpolated; NaN beyond what was read.

        Where the readings begin or end between two edges, it is the growth of the part that was read: no
        event is missing from the sum of all.
        """
        at_ns, totals = self.counted(name)
        if not len(at_ns):
            return np.full(len(edges_ns) - 1, np.nan)
        grown = np.diff(np.interp(edges_ns, at_ns, totals))
        unread = (edges_ns[1:] <= at_ns[0]) | (edges_ns[:-1] >= at_ns[-1])
        return np.where(unread, np.nan, grown)

    def encloses(self, edges_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of the time between each two neighbouring ``edges_ns`` whether readings enclose it."""
        if not len(self.at_ns):
            return np.zeros(len(edges_ns) - 1, dtype=np.bool_)
        enclosed: NDArray[np.bool_] = (edges_ns[:-1] >= self.at_ns[0]) & (edges_ns[1:] <= self.at_ns[-1])
        return enclosed

    def largest(self, name: str, edges_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the highest value of a level read between neighbouring ``edges_ns``; NaN where none was."""
        at_ns, values = self.reported(name)
        found = np.full(len(edges_ns) - 1, -np.inf)
        place = np.searchsorted(edges_ns, at_ns, side="right") - 1
        inside = (place >= 0) & (place < len(found))
        np.maximum.at(found, place[inside], values[inside])
        return np.where(np.isinf(found), np.nan, found)


class CounterPoller:
    """Reads until stopped.

    ``read`` returns the figures of this moment, or None; it must not take much longer than :data:`TIMEOUT_S`, and
    raises nothing.
    """

    def __init__(self, name: str, read: Callable[[], Figures | None], period_s: float = PERIOD_S) -> None:
        """``name``: of the server, for messages."""
        self._name = name
        self._read = read
        self._period_s = period_s
        self._readings: list[tuple[int, Figures]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"counters of {name}", daemon=True)

    def start(self) -> None:
        """Read now and then once a second."""
        self._thread.start()

    def stop(self) -> None:
        """Read once more and end, within bounds of time. May be called twice."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(2 * TIMEOUT_S)

    def series(self) -> CounterSeries:
        """Return what was read."""
        readings = list(self._readings)
        names = sorted({name for _, figures in readings for name in figures})
        columns = {name: np.array([figures.get(name, np.nan) for _, figures in readings]) for name in names}
        return CounterSeries(np.array([at_ns for at_ns, _ in readings], dtype=np.int64), columns)

    def _run(self) -> None:
        failed = 0
        due = time.monotonic()
        while len(self._readings) < _MOST_READINGS:
            last = self._ended.is_set()
            before_ns = time.monotonic_ns()
            figures = self._read()
            if figures is not None:
                self._readings.append(((before_ns + time.monotonic_ns()) // 2, figures))
            else:
                failed += 1
                if not self._readings and failed == _GIVE_UP_AFTER:
                    _log.warning("%s does not report its counters: they will be missing", self._name)
                    return
            if last:
                return
            due = max(due + self._period_s, time.monotonic())
            self._ended.wait(due - time.monotonic())

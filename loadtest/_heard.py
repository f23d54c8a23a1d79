"""The counts that the processes of a test have reported so far, and their rates."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from loadtest._clock import NS_PER_S
from loadtest._messages import Progress
from traffic.counts import Counts

# Locust's requests/s are those of about the last ten seconds, and so are these.
_WINDOW_S = 10
# A process that reported nothing for so long has no rate.
_SILENT_S = 8


class Rates(Struct, frozen=True):
    """Events offered and accepted, and requests answered or given up, each per second."""

    offered: float = 0.0
    accepted: float = 0.0
    requests: float = 0.0


class Heard:
    """The reports of one test, by the index of their process."""

    def __init__(self) -> None:
        """Start without a report."""
        self._reports: dict[int, deque[Progress]] = {}
        self._heard_ns: dict[int, int] = {}

    def note(self, index: int, progress: Progress, now_ns: int) -> None:
        """Keep a report and drop those older than ten seconds, by the clock of the process that reports."""
        reports = self._reports.setdefault(index, deque())
        reports.append(progress)
        oldest_ns = progress.at_ns - _WINDOW_S * NS_PER_S
        # The time before the load begins does not count for its rate.
        while len(reports) > 1 and (reports[1].at_ns <= oldest_ns or not reports[1].counts.offered):
            reports.popleft()
        self._heard_ns[index] = now_ns

    def newest(self, index: int) -> Counts | None:
        """Return the last report of process ``index``."""
        return self._reports[index][-1].counts if index in self._reports else None

    def rates(self, now_ns: int | None) -> Rates:
        """Return the rates of all processes together at ``now_ns``; None: the last ones, at the end of the test."""
        offered = accepted = requests = 0.0
        for index, reports in self._reports.items():
            first, last = reports[0], reports[-1]
            passed_s = (last.at_ns - first.at_ns) / NS_PER_S
            is_silent = now_ns is not None and now_ns - self._heard_ns[index] > _SILENT_S * NS_PER_S
            if passed_s <= 0 or is_silent:
                continue
            offered += (last.counts.offered - first.counts.offered) / passed_s
            accepted += (last.counts.accepted - first.counts.accepted) / passed_s
            requests += (last.counts.requests - first.counts.requests) / passed_s
        return Rates(offered, accepted, requests)

"""A probe of a search for capacity: how long it is watched, and whether its offered load was sustained (rule 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench import kinds
from bench.cells.cellspec import CellSpec
from bench.evidence.evidence import Evidence
from bench.search import forecast, sustained
from bench.search.forecast import RunningCounts
from bench.search.sustained import BLOCK_S, Moments
from bundle.result import Sustained, Window
from traffic.ledger import Outcome

# Three blocks of the bootstrap: below that nothing is judged, not even that a probe is lost.
_LEAST_WATCHED_S = 3 * BLOCK_S + 1.0
_LOOK_S = 1.0
_CLEARLY = 1.3  # a look counts by the second, the verdict by the event: a close case may straddle there
_NS = 1_000_000_000


@dataclass
class ProbeWatch:
    """Says when a probe's load has lasted long enough. ``lost``: why it was stopped before its time."""

    cell: CellSpec
    offered_load_events_per_s: float
    delivery_latency_p99_ms: float | None
    lost: str = ""
    _straddles: bool = False

    def is_over(self, seen: Sequence[RunningCounts]) -> bool:
        """Judge what was seen so far, a look a second: it is lost, or its time is over.

        Whether its verdict is clear is looked at once, at the end of its duration: were it asked again and again until
        it is, chance would have as many tries.
        """
        now_s = seen[-1].at_s
        watched_s = now_s - self.cell.warmup_s
        if watched_s < _LEAST_WATCHED_S:
            return False
        if watched_s < self.cell.duration_s:
            window_s = (self.cell.warmup_s, self.cell.warmup_s + self.cell.duration_s)
            self.lost = (
                forecast.lost(seen, window_s, self.offered_load_events_per_s, self.delivery_latency_p99_ms) or ""
            )
            return bool(self.lost)
        if not self._straddles:
            self._straddles = not self._is_clear(seen)
        return not self._straddles or now_s >= kinds.named(self.cell.kind).load_s(self.cell)

    def _is_clear(self, seen: Sequence[RunningCounts]) -> bool:
        at_s = np.array([each.at_s for each in seen])
        backlog = np.array([each.accepted - each.stored for each in seen], dtype=np.float64)
        deficits = np.diff(np.interp(np.arange(self.cell.warmup_s, at_s[-1], _LOOK_S), at_s, backlog))
        judged = sustained.judge_bins(deficits, _LOOK_S, self.offered_load_events_per_s)
        allowed = judged.allowed_events_per_s
        return judged.bound_events_per_s <= allowed / _CLEARLY or judged.low_events_per_s > allowed * _CLEARLY


def keeping_up(window: Window, evidence: Evidence) -> Sustained | None:
    """Judge by rule 9 whether events were stored as fast as they were accepted; None if the window is too short.

    ``window``: that of a probe or of a steady load.
    """
    offered_per_s = _offered_in(window, evidence) / window.length_s if window.length_s > 0 else 0.0
    if window.length_s < _LEAST_WATCHED_S - 1.0 or offered_per_s <= 0:
        return None
    return sustained.check((window.start_s, window.end_s), *_moments(evidence), offered_per_s)


def _offered_in(window: Window, evidence: Evidence) -> int:
    rows = evidence.offered.rows
    inside = (rows["intended"] >= window.start_s * _NS) & (rows["intended"] < window.end_s * _NS)
    return int(rows["count"][inside].sum())


def _moments(evidence: Evidence) -> tuple[Moments, Moments]:
    """When events were accepted, and when they were first acknowledged as stored."""
    rows = evidence.offered.rows
    accepted = rows[rows["outcome"] == Outcome.ACCEPTED]
    first = evidence.first_deliveries
    stored_ns = first["acknowledged_ns"] - evidence.offered.epoch_monotonic_ns
    return Moments(accepted["answered"] / _NS, accepted["count"].astype(np.int64)), Moments(stored_ns / _NS)

"""What a repeat offers, where that follows from the repeats before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.cells.bounds import Bounds
from bench.cells.objective import OfferedLoad
from bundle.result import Result


class Offer(NamedTuple):
    """What an attempt offers: events/s through HTTP, or the events of a drain's backlog; for a probe also its step."""

    load_events_per_s: float | None = None
    backlog_events: int = 0
    step: str = ""


@dataclass(frozen=True)
class SoFar:
    """What is known of a run under way, as far as it decides what repeats offer.

    ``inserts_per_s``: the ceiling of MongoDB's inserts, None if it is not known. ``drained``: the results of the kinds
    that set loads; ``reached``: what their valid repeats of round 1 reached, in events/s.
    """

    bounds: Bounds
    inserts_per_s: float | None
    drained: Sequence[Result]
    reached: Sequence[float]


def events_per_s(load: float | OfferedLoad | None, so_far: Sequence[SoFar]) -> float | None:
    """Return a load in events/s; a share is of the slowest drain of round 1, for all cells of all runs alike."""
    if not isinstance(load, OfferedLoad):
        return load
    slowest = min((rate for run in so_far for rate in run.reached), default=0.0)
    return float(round(max(load.share_of_drain * slowest, load.at_least)))

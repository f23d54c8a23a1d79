"""A family of tests: ratios of NEW and BASE that are estimated together, and corrected over all of them (Holm)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from stats import inference
from stats.inference import VERDICTS, Estimate, Floats


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A ratio and its test. ``ratio`` and its 95% interval are oriented: above 1, NEW is better.

    ``rounds``: pairs that it rests on, or repeats of the run that has fewer. ``p`` is ``corrected_p`` before Holm's
    correction; None where there was no test. ``smallest_p``: what p cannot come below.
    """

    rounds: int = 0
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    corrected_p: float | None = None
    smallest_p: float = 1.0


def untested(estimate: Estimate, interval: tuple[Floats, Floats], place: int) -> Tested:
    """Return one ratio of ``estimate``, whose ``interval`` is known, without a test."""
    there, rounds = bool(estimate.tested[place]), int(estimate.repeats[place])
    return Tested(
        rounds=rounds,
        ratio=math.exp(estimate.log_ratio[place]) if rounds else None,
        low=math.exp(interval[0][place]) if there else None,
        high=math.exp(interval[1][place]) if there else None,
    )


class Family:
    """The ratios of one estimate, judged together. ``count``: how many of them are tested."""

    def __init__(self, estimate: Estimate, floor: float) -> None:
        """``floor``: a smaller effect is none."""
        self.estimate = estimate
        self.count = int(estimate.tested.sum())
        self.verdicts = [VERDICTS[code] for code in inference.verdicts(estimate, floor)]
        self._interval = estimate.interval()
        self._corrected_p = inference.holm(estimate.p, estimate.tested)

    def tested(self, place: int) -> Tested:
        """Return one ratio with its test."""
        there = bool(self.estimate.tested[place])
        return dataclasses.replace(
            untested(self.estimate, self._interval, place),
            p=float(self.estimate.p[place]) if there else None,
            corrected_p=float(self._corrected_p[place]) if there else None,
            smallest_p=float(self.estimate.smallest_p[place]),
        )

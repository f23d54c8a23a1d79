"""A mean with its interval, as bundles hold it and reports show it."""

from __future__ import annotations

import math

from msgspec import Struct


class Interval(Struct, frozen=True):
    """A geometric mean over ``n`` repeats, and its two-sided 95% t interval on log values; None where n < 2."""

    n: int
    mean: float
    low: float | None = None
    high: float | None = None

    def overlaps(self, other: Interval) -> bool:
        """Say whether the two intervals share a value; an unknown bound may be anything."""
        low, high = (self.low or 0.0), (math.inf if self.high is None else self.high)
        other_low, other_high = (other.low or 0.0), (math.inf if other.high is None else other.high)
        return low <= other_high and other_low <= high

"""Geometric means over repeats, with their t intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from scipy import special

from bundle.interval import Interval


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Give the geometric mean of ``values`` (at least one) and its two-sided t interval on log values.

    Where one is 0, as the CPU time of a very short repeat may be, there are no logarithms: then it is the arithmetic
    mean, without an interval.
    """
    n = len(values)
    if min(values) <= 0:
        return Interval(n, statistics.fmean(values))
    logs = [math.log(value) for value in values]
    centre = statistics.fmean(logs)
    if n < 2:  # noqa: PLR2004 - a spread needs two
        return Interval(n, math.exp(centre))
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * statistics.stdev(logs) / math.sqrt(n)
    return Interval(n, math.exp(centre), math.exp(centre - half), math.exp(centre + half))

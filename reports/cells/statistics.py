"""Intervals over repeats, and the gate that a percentile must pass to be printed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from bundle.interval import Interval

CONFIDENCE = 0.95
REQUESTS_BEYOND = 10
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
INTERVAL_LABEL = "geometric mean with its 95% t interval on log values"


def log_t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Give exp of the mean of the logs, and exp of its two-sided Student t interval.

    None where there is no value, or one is not positive: it has no logarithm.
    """
    if not values or min(values) <= 0:
        return None
    logs = np.log(np.asarray(values, dtype=np.float64))
    n, centre = len(logs), float(logs.mean())
    if n < 2:  # noqa: PLR2004 - a spread needs two
        return Interval(n, math.exp(centre))
    # stdtrit is the quantile of Student's t; scipy.stats has it too, and takes two seconds more to import.
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * float(logs.std(ddof=1)) / math.sqrt(n)
    return Interval(n, math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def largest_share(requests: int) -> float:
    """Give the largest q that still has 10 of ``requests`` independent requests beyond it; 0 if there is none."""
    return max(0.0, 1 - REQUESTS_BEYOND / requests) if requests > 0 else 0.0

"""Means over repeats with their t intervals, and what an interval on a logarithmic scale says of its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

CONFIDENCE = 0.95
ONE_SIDED = 2 * CONFIDENCE - 1
"""The confidence of a two-sided interval each of whose ends is a one-sided bound at ``CONFIDENCE``."""
LABEL = "geometric mean with its 95% t interval on log values"


class LogT(NamedTuple):
    """A geometric mean over ``n`` values and its two-sided t interval on log values, None where n < 2."""

    n: int
    mean: float
    low: float | None = None
    high: float | None = None


def log_t(values: Sequence[float], confidence: float = CONFIDENCE) -> LogT | None:
    """Return the geometric mean of ``values`` with its interval; None without a value, or if one is not above 0."""
    if not values or min(values) <= 0:
        return None
    logs = np.log(np.asarray(values, dtype=np.float64))
    n, centre = len(logs), float(logs.mean())
    if n < 2:  # noqa: PLR2004 - a spread needs two
        return LogT(n, math.exp(centre))
    half = t_quantile(n - 1, confidence) * float(logs.std(ddof=1)) / math.sqrt(n)
    return LogT(n, math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return by how many standard errors a two-sided t interval reaches to each side.

    ``scipy.stats`` has this too, and takes a second more to import than ``scipy.special``.
    """
    return float(special.stdtrit(freedom, (1 + confidence) / 2))


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """Return by how many standard errors a two-sided interval of the normal distribution reaches to each side."""
    return float(special.ndtri((1 + confidence) / 2))


def t_over_normal(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return how much wider an interval is whose spread is known by no more than ``freedom`` degrees of freedom."""
    return t_quantile(freedom, confidence) / normal_quantile(confidence)


def log_error(low: float, high: float, confidence: float) -> float:
    """Return the standard error of a logarithm whose interval, from ``low`` to ``high``, is a normal distribution's."""
    return math.log(high / low) / (2 * normal_quantile(confidence))

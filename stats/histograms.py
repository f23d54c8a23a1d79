"""Histograms: counts of durations, added up over repeats, and the percentiles of what was added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Distribution:
    """A pooled histogram: how many events (``counts``) had a duration of at most ``values_ms``, which ascend."""

    values_ms: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        """Events in it."""
        return int(self.counts.sum())

    def at(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return, for each share q in [0, 1], the smallest duration (ms) that q of the events do not exceed."""
        cumulative = np.cumsum(self.counts)
        # The small step back keeps 0.9 * 10 = 9.000000000000002 from becoming the tenth.
        wanted = np.ceil(shares * self.total - 1e-9)
        index = np.searchsorted(cumulative, np.maximum(wanted, 1))
        return np.asarray(self.values_ms[np.minimum(index, len(self.values_ms) - 1)])

    def quantile(self, share: float) -> float:
        """Return one quantile in ms."""
        return float(self.at(np.array([share]))[0])


def pool(distributions: Iterable[Distribution]) -> Distribution | None:
    """Add the distributions up; None if there is nothing in them."""
    given = [one for one in distributions if len(one.counts)]
    if not given:
        return None
    values, place = np.unique(np.concatenate([one.values_ms for one in given]), return_inverse=True)
    counts = np.zeros(len(values), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([one.counts for one in given]))
    return Distribution(values, counts)

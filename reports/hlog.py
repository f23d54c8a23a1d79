"""Reads HdrHistogram interval logs, with their tags, and pools them by adding.

A line is ``Tag=NAME,start_s,interval_s,max,PAYLOAD``; the payload is a histogram of whole
microseconds in HdrHistogram's compressed V2 encoding. Lines with ``#`` and the legend are skipped.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from reports.errors import BundleError

_FIELDS_AFTER_TAG = 4
_US_PER_MS = 1000.0
_DAMAGED = (ValueError, TypeError, HdrCookieException, HdrLengthException, binascii.Error, zlib.error)


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
        """Give, for each share q in [0, 1], the smallest duration (ms) that q of the events do not exceed."""
        cumulative = np.cumsum(self.counts)
        # The small step back keeps 0.9 * 10 = 9.000000000000002 from becoming the tenth.
        wanted = np.ceil(shares * self.total - 1e-9)
        index = np.searchsorted(cumulative, np.maximum(wanted, 1))
        return np.asarray(self.values_ms[np.minimum(index, len(self.values_ms) - 1)])

    def quantile(self, share: float) -> float:
        """Give one quantile in ms."""
        return float(self.at(np.array([share]))[0])


def read(path: Path) -> dict[str, list[HdrHistogram]]:
    """Give the histograms of each tag in the log at ``path``, in its order. BundleError if a line is damaged."""
    found: dict[str, list[HdrHistogram]] = {}
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.startswith("Tag="):
            continue
        tag, *fields = line.removeprefix("Tag=").split(",")
        if len(fields) != _FIELDS_AFTER_TAG:
            raise BundleError(
                f"{path}, line {number}: {len(fields)} fields after the tag, {_FIELDS_AFTER_TAG} expected"
            )
        try:
            found.setdefault(tag, []).append(HdrHistogram.decode(fields[-1]))
        except _DAMAGED as error:
            raise BundleError(f"{path}, line {number}: no HdrHistogram in it ({error})") from error
    return found


def pool(histograms: Iterable[HdrHistogram]) -> Distribution | None:
    """Add the histograms up; None if there is nothing in them."""
    given = [histogram for histogram in histograms if histogram.get_total_count()]
    if not given:
        return None
    total = HdrHistogram(
        min(h.lowest_trackable_value for h in given),
        max(h.highest_trackable_value for h in given),
        max(h.significant_figures for h in given),
    )
    for histogram in given:
        total.add(histogram)
    counts = np.array([total.get_count_at_index(index) for index in range(total.counts_len)], dtype=np.int64)
    recorded = np.flatnonzero(counts)
    highest = [total.get_highest_equivalent_value(total.get_value_from_index(int(index))) for index in recorded]
    return Distribution(np.array(highest, dtype=np.float64) / _US_PER_MS, counts[recorded])

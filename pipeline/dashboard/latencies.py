"""Histograms of sampled delivery latencies: fixed buckets, so that those of minutes and processes add up."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

from msgspec import Struct

_GROWTH = 1.2
_BUCKETS = 70

UPPER_MS: tuple[float, ...] = tuple(round(_GROWTH**each, 3) for each in range(_BUCKETS))
"""Upper bounds: each is a fifth above the one before, from 1 ms to five minutes. What is more is in one more bucket."""

Buckets = list[int]


class SampledPercentiles(Struct, frozen=True):
    """Of sampled latencies, in ms: upper bounds of buckets, so at most a fifth too high. None without a sample."""

    samples: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None


def empty() -> Buckets:
    """Return a histogram without a sample."""
    return [0] * (_BUCKETS + 1)


def add(buckets: Buckets, latency_ms: float) -> None:
    """Note one latency; one below zero (two clocks) counts as zero."""
    buckets[bisect.bisect_left(UPPER_MS, latency_ms)] += 1


def summed(histograms: Iterable[Sequence[int]]) -> Buckets:
    """Add histograms up; those with other buckets than ours are left out."""
    total = empty()
    for each in histograms:
        if len(each) == len(total):
            total = [one + other for one, other in zip(total, each, strict=True)]
    return total


def percentiles(buckets: Sequence[int]) -> SampledPercentiles:
    """Return what is shown of a histogram."""
    samples = sum(buckets)
    return SampledPercentiles(samples, *(_percentile(buckets, samples, share) for share in (0.5, 0.9, 0.99)))


def _percentile(buckets: Sequence[int], samples: int, share: float) -> float | None:
    below = 0
    for at, count in enumerate(buckets):
        below += count
        if samples and below >= share * samples:
            return UPPER_MS[min(at, _BUCKETS - 1)]
    return None

"""Whether a system kept up with what it accepted: method rule 9, for the window of one probe.

The deficit is what piles up: events accepted minus events stored, per second. Each is counted at its own moment
(accepted: when the answer came; stored: when the write was first acknowledged), so their running difference is what is
on its way, and the deficit is its growth. With a stable delivery latency as much leaves the window unstored as came
into it unstored, and the deficit is 0 whatever that latency is. Writes come in batches, so what is on its way jumps by
thousands of events; to have no single jump decide, it is averaged over the first and over the last two seconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bundle.result import Sustained, Verdict
from stats import intervals
from stats.intervals import CONFIDENCE

ALLOWED_SHARE = 0.02  # of the offered load
BLOCK_S = 2.0
SHORTEST_S = 3 * BLOCK_S
BIN_S = 0.25
_EDGE_S = 2.0
_RESAMPLES = 2_000
_ROUNDING_S = 1e-6
_NOTHING = 1e-12
_Counts = NDArray[np.float64]


class Moments(NamedTuple):
    """When events were accepted, or stored: ``at_s`` from the epoch in any order, and how many at each.

    ``events`` None: one each.
    """

    at_s: NDArray[np.float64]
    events: NDArray[np.int64] | None = None


def check(
    window_s: tuple[float, float], accepted: Moments, stored: Moments, offered_events_per_s: float, *, seed: int = 0
) -> Sustained:
    """Judge one window: ``window_s`` is its start and its end, ``offered_events_per_s`` what was offered in it.

    Raises:
        ValueError: the window is shorter than three blocks, or nothing was offered.
    """
    start_s, end_s = window_s
    edges_s = np.linspace(start_s, end_s, max(1, round((end_s - start_s) / BIN_S)) + 1)
    deficits = _counted(accepted, edges_s) - _counted(stored, edges_s)
    return judge_bins(deficits, float(edges_s[1] - edges_s[0]), offered_events_per_s, seed=seed)


def judge_bins(deficits: _Counts, bin_s: float, offered_events_per_s: float, *, seed: int = 0) -> Sustained:
    """Judge a window by ``deficits``, shape (bins,): events accepted minus events stored in each ``bin_s`` seconds.

    Raises:
        ValueError: the window is shorter than three blocks, or nothing was offered.
    """
    length_s = len(deficits) * bin_s
    if length_s < SHORTEST_S - _ROUNDING_S or offered_events_per_s <= 0:
        raise ValueError(
            f"{offered_events_per_s:g} events/s over {length_s:g} s cannot be judged: "
            f"offer some for at least {SHORTEST_S:g} s"
        )
    in_flight = np.concatenate(((0.0,), np.cumsum(deficits)))
    growth = _growth_weights(len(in_flight), round(_EDGE_S / bin_s)) / bin_s
    deficit = float(growth @ in_flight)
    errors = _errors(in_flight, growth, round(BLOCK_S / bin_s), seed)
    least, most = np.quantile(errors, (1 - CONFIDENCE, CONFIDENCE)) * _few_blocks(length_s / BLOCK_S)
    low, bound = deficit - float(most), deficit - float(least)
    allowed = ALLOWED_SHARE * offered_events_per_s
    verdict: Verdict = "sustained" if bound <= allowed else "not sustained" if low > allowed else "straddles"
    return Sustained(deficit, low, bound, allowed, verdict, holds=deficit <= allowed)


def _counted(moments: Moments, edges_s: NDArray[np.float64]) -> _Counts:
    counts, _ = np.histogram(moments.at_s, bins=edges_s, weights=moments.events)
    return counts.astype(np.float64)


def _growth_weights(values: int, edge: int) -> _Counts:
    """Return the weights with which so many values add up to their growth a bin, from the first mean to the last.

    ``edge``: of how many values each of the two means is.
    """
    weights = np.zeros(values)
    weights[:edge], weights[-edge:] = -1.0, 1.0
    return weights / (edge * (values - edge))


def _errors(in_flight: _Counts, growth: _Counts, block: int, seed: int) -> _Counts:
    """Return by how much the growth of ``in_flight`` (bins + 1) might have come out another, shape (resamples,).

    A post-blackened block bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 8.2). Blocks
    of the differences themselves would not do: while a system keeps up, each jump is followed by its like in the other
    direction, which blocks of two seconds tear apart. So the line through ``in_flight`` is taken off, of what is left
    the part that hangs on the value before (autoregressive, of order 1) too; what then remains is drawn in blocks from
    a ring, and the parts are put together again. A system that keeps up has a small coefficient and so narrow bounds;
    one that does not wanders off, has one near 1, and gets the wide bounds of a sum of independent blocks.
    """
    bins = len(in_flight) - 1
    at = np.arange(bins + 1) - bins / 2
    left = in_flight - in_flight.mean() - at * (in_flight @ at) / (at @ at)
    earlier, later = left[:-1], left[1:]
    coefficient = _unbiased(float(earlier @ later / max(earlier @ earlier, _NOTHING)), bins)
    rest = later - coefficient * earlier
    rest = (rest - rest.mean()) * np.sqrt(bins / (bins - 3))  # three numbers were fitted to it
    # Putting together is linear: what a remainder adds to the growth is the weight of its own place, and, ever weaker,
    # of all places after it.
    blocks = -(-bins // block)
    weights = np.zeros(1 + blocks * block)
    following = 0.0
    for place in range(bins, -1, -1):
        weights[place] = following = growth[place] + coefficient * following
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate((rest, rest[: block - 1])), block)
    parts = windows @ weights[1:].reshape(blocks, block).T  # (bins, blocks): of a block from there, put there
    random = np.random.default_rng(seed)
    starts = random.integers(bins, size=(_RESAMPLES, blocks))
    first = weights[0] * random.choice(left, _RESAMPLES)
    return np.asarray(first + parts[starts, np.arange(blocks)].sum(axis=1))


def _unbiased(coefficient: float, bins: int) -> float:
    """Mend the autoregressive coefficient, which comes out too small beside a fitted line, most so near 1.

    The first part is Kendall's for a series with a line fitted (1954); the second was set by simulation, so that a sum
    of independent steps, whose coefficient is 1, is taken for one in half of all short windows.
    """
    mended = coefficient + (2 + 4 * coefficient + 24 * max(0.0, coefficient) ** 4) / bins
    return min(1.0, max(0.0, mended))


def _few_blocks(blocks: float) -> float:
    """Return the factor by which bounds from a few blocks are too narrow, as for a mean of as many independent values.

    They scatter less than the mean does by sqrt((k - 1) / k), and Student's t is wider than the normal distribution.
    """
    return math.sqrt(blocks / (blocks - 1)) * intervals.t_over_normal(blocks - 1, intervals.ONE_SIDED)

"""Whether a system kept up with what it accepted: method rule 9, for the window of one probe.

The deficit is what piles up: events accepted minus events stored, per second. Both are counted at their own moment
(accepted: when the answer came; stored: when the write was first acknowledged), so the sum over the window is how much
more was on its way at its end than at its beginning. With a stable delivery latency as much leaves the window late as
came into it late, and the deficit is 0 whatever that latency is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import special

ALLOWED_SHARE = 0.02  # of the offered load
CONFIDENCE = 0.95  # of each of the two one-sided bounds
BLOCK_S = 2.0
RESAMPLES = 2_000
_BIN_S = 0.25
_FEWEST_BLOCKS = 3

Verdict = Literal["sustained", "not sustained", "straddles"]


class Moments(NamedTuple):
    """When events were accepted, or stored: ``at_s`` from the epoch in any order, and how many at each.

    ``events`` None: one each.
    """

    at_s: NDArray[np.float64]
    events: NDArray[np.int64] | None = None


class Sustained(Struct, frozen=True):
    """How much faster events were accepted than stored, in events/s over the window.

    ``low`` and ``bound``: the lower and the upper one-sided 95% bound of ``deficit``. ``holds``: the deficit itself is
    within what is allowed. ``verdict``: sustained where even ``bound`` is allowed, not sustained where even ``low`` is
    not, else it straddles: a longer window would tell.
    """

    deficit_events_per_s: float
    low_events_per_s: float
    bound_events_per_s: float
    allowed_events_per_s: float
    verdict: Verdict
    holds: bool


def judge(
    window_s: tuple[float, float],
    accepted: Moments,
    stored: Moments,
    offered_events_per_s: float,
    *,
    seed: int = 0,
) -> Sustained:
    """Judge one window: ``window_s`` is its start and its end, ``offered_events_per_s`` what was offered in it.

    Raises:
        ValueError: the window is shorter than three blocks, or nothing was offered.
    """
    start_s, end_s = window_s
    if end_s - start_s < _FEWEST_BLOCKS * BLOCK_S or offered_events_per_s <= 0:
        raise ValueError(
            f"{offered_events_per_s:g} events/s over {end_s - start_s:g} s cannot be judged: "
            f"offer some for at least {_FEWEST_BLOCKS * BLOCK_S:g} s"
        )
    edges_s = np.linspace(start_s, end_s, round((end_s - start_s) / _BIN_S) + 1)
    deficits = _counted(accepted, edges_s) - _counted(stored, edges_s)
    return judge_bins(deficits, float(edges_s[1] - edges_s[0]), offered_events_per_s, seed=seed)


def judge_bins(deficits: NDArray[np.float64], bin_s: float, offered_events_per_s: float, *, seed: int = 0) -> Sustained:
    """Judge a window by ``deficits``: events accepted minus events stored in each ``bin_s`` seconds of it."""
    deficit = float(deficits.mean()) / bin_s
    below, above = _bounds(deficits, round(BLOCK_S / bin_s), seed)
    low, bound = deficit - below / bin_s, deficit + above / bin_s
    allowed = ALLOWED_SHARE * offered_events_per_s
    verdict: Verdict = "sustained" if bound <= allowed else "not sustained" if low > allowed else "straddles"
    return Sustained(deficit, low, bound, allowed, verdict, holds=deficit <= allowed)


def _counted(moments: Moments, edges_s: NDArray[np.float64]) -> NDArray[np.float64]:
    counts, _ = np.histogram(moments.at_s, bins=edges_s, weights=moments.events)
    return counts.astype(np.float64)


def _bounds(values: NDArray[np.float64], block: int, seed: int) -> tuple[float, float]:
    """Give how far below and above the mean of ``values`` its one-sided bounds lie, by circular block bootstrap.

    Blocks of ``block`` values each, drawn from all places of the series closed to a ring (Politis and Romano, 1992).
    So few blocks scatter less than the mean does, and quantiles of a normal distribution are too near: both are
    mended by the factor sqrt(k / (k - 1)) t(k - 1) / z for k blocks, as for the mean of k independent values.
    """
    ring = np.concatenate((values, values[: block - 1]))
    means = np.convolve(ring, np.full(block, 1 / block), mode="valid")
    blocks = len(values) / block
    whole = int(blocks)
    drawn = np.random.default_rng(seed).integers(len(means), size=(RESAMPLES, whole))
    scatter = means[drawn].mean(axis=1) - means.mean()
    factor = np.sqrt(whole / blocks) * np.sqrt(blocks / (blocks - 1))
    factor *= special.stdtrit(blocks - 1, CONFIDENCE) / special.ndtri(CONFIDENCE)
    low, high = np.quantile(scatter, (1 - CONFIDENCE, CONFIDENCE))
    return float(factor * high), float(-factor * low)

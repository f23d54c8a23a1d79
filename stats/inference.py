"""What repeats say about a ratio: t estimates on logarithms, Holm's correction, and the verdict of each cell.

Every function works on arrays whose last axis is the cells (of logarithms: cells, then rounds), so that one
comparison and two thousand simulated ones are the same code. Logarithms are oriented: larger is better.
docs/method.md says why it is judged so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from stats.intervals import CONFIDENCE

FAMILY_LEVEL = 0.05
"""The chance, at most, that any cell of a comparison is called faster or slower where none is."""
Verdict = Literal["faster", "slower", "same", "cannot tell"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FASTER, SLOWER, SAME, CANNOT_TELL = range(len(VERDICTS))
Floats = NDArray[np.float64]
NORMAL = 1e9
"""Degrees of freedom at which Student's t is the normal distribution."""
_LEAST_ERROR = 1e-12


@dataclass(frozen=True)
class Estimate:
    """What the repeats of each cell say about log(NEW / BASE); all arrays have one shape.

    ``repeats``: rounds in both runs if paired, else the repeats of the run that has fewer. ``spread``: standard
    deviation of the difference of one repeat of each. ``p``: two-sided, never below ``smallest_p``. Cells with
    fewer than two repeats a side are not ``tested``.
    """

    repeats: NDArray[np.int64]
    log_ratio: Floats
    spread: Floats
    standard_error: Floats
    freedom: Floats
    p: Floats
    smallest_p: Floats
    tested: NDArray[np.bool_]

    def interval(self, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
        """Return the two-sided t interval of the log ratio; without bounds where a cell is not tested."""
        quantile = special.stdtrit(np.where(self.tested, self.freedom, 1.0), (1 + confidence) / 2)
        half = np.where(self.tested, quantile * self.standard_error, np.inf)
        return self.log_ratio - half, self.log_ratio + half


def paired(base: Floats, new: Floats) -> Estimate:
    """Estimate from logs paired by round, (..., cells, rounds) with NaN where a run has no value.

    Where nothing differs, the two of a pair may be exchanged, for chance set their order: the sign of each difference
    is a toss. n tosses fall in 2^n ways, so a test that assumes no more cannot come below p = 2 / 2^n.
    """
    count, mean, variance = _moments(new - base)
    standard_error = np.sqrt(variance / np.maximum(count, 1))
    smallest_p: Floats = np.minimum(1.0, np.exp2(1.0 - count))
    return _estimate(
        count, mean, np.sqrt(variance), standard_error, count.astype(np.float64) - 1, smallest_p, count > 1
    )


def unpaired(base: Floats, new: Floats) -> Estimate:
    """Estimate from logs of runs made one after the other: Welch's test.

    Where nothing differs, any split of all values into two runs of these sizes is as likely as this one: without
    further assumption no p can come below 2 / (number of splits).
    """
    base_count, base_mean, base_variance = _moments(base)
    new_count, new_mean, new_variance = _moments(new)
    tested = (base_count > 1) & (new_count > 1)
    parts = base_variance / np.maximum(base_count, 1), new_variance / np.maximum(new_count, 1)
    square = parts[0] + parts[1]
    below = parts[0] ** 2 / np.maximum(base_count - 1, 1) + parts[1] ** 2 / np.maximum(new_count - 1, 1)
    repeats = np.minimum(base_count, new_count)
    freedom = np.where(below > 0, square**2 / np.where(below > 0, below, 1.0), repeats - 1.0)
    smallest_p = np.minimum(1.0, 2.0 / special.binom(base_count + new_count, base_count))
    spread = np.sqrt(base_variance + new_variance)
    return _estimate(repeats, new_mean - base_mean, spread, np.sqrt(square), freedom, smallest_p, tested)


def with_known(estimate: Estimate, log_ratio: Floats, standard_error: Floats) -> Estimate:
    """Insert ratios whose error is known without repeats, such as those of two searches; NaN keeps the estimate.

    Their p comes from the normal distribution, and the number of repeats does not bound it.
    """
    known = ~np.isnan(log_ratio)
    z = np.abs(log_ratio) / np.where(known, np.maximum(standard_error, _LEAST_ERROR), 1.0)
    return Estimate(
        repeats=np.where(known, 1, estimate.repeats),
        log_ratio=np.where(known, log_ratio, estimate.log_ratio),
        spread=np.where(known, standard_error, estimate.spread),
        standard_error=np.where(known, standard_error, estimate.standard_error),
        freedom=np.where(known, NORMAL, estimate.freedom),
        p=np.where(known, 2 * special.ndtr(-z), estimate.p),
        smallest_p=np.where(known, 0.0, estimate.smallest_p),
        tested=known | estimate.tested,
    )


def together(estimate: Estimate, members: NDArray[np.bool_]) -> Estimate:
    """Estimate the mean log ratio of each group of cells; ``members``: (groups, cells). A group needs two tested cells.

    The errors of cells add up as independent ones, with Satterthwaite's degrees of freedom. If nothing differs, each
    way to exchange the repeats of one cell combines with each way of another: the smallest p is 2 divided by the
    product of their numbers, so cells that have too few rounds alone may show something together.
    """
    own = members & estimate.tested
    count = own.sum(axis=-1)
    squares = np.where(own, estimate.standard_error**2, 0.0)
    total = squares.sum(axis=-1)
    below = np.where(own, squares**2 / np.maximum(estimate.freedom, 1.0), 0.0).sum(axis=-1)
    ways = np.log(2.0) - np.log(np.maximum(estimate.smallest_p, np.finfo(np.float64).tiny))
    error = np.sqrt(total) / np.maximum(count, 1)
    return _estimate(
        np.where(own, estimate.repeats, np.iinfo(np.int64).max).min(axis=-1, initial=np.iinfo(np.int64).max),
        np.where(own, estimate.log_ratio, 0.0).sum(axis=-1) / np.maximum(count, 1),
        error,
        error,
        np.where(below > 0, total**2 / np.where(below > 0, below, 1.0), np.maximum(count, 1)),
        np.minimum(1.0, 2 * np.exp(-np.where(own, ways, 0.0).sum(axis=-1))),
        count > 1,
    )


def exact_p(base: tuple[int, int], new: tuple[int, int]) -> float:
    """Return the probability of this many or more in NEW if chance alone spreads them (Fisher, one-sided).

    ``base`` and ``new``: how many repeats have it, and how many repeats there are.
    """
    having, repeats = base[0] + new[0], base[1] + new[1]
    ways = [math.comb(base[1], having - many) * math.comb(new[1], many) for many in range(new[0], having + 1)]
    return sum(ways) / math.comb(repeats, having)


def holm(p: Floats, tested: NDArray[np.bool_]) -> Floats:
    """Correct p over the tested cells of each comparison (Holm 1979, step-down); 1 where a cell is not tested."""
    order = np.argsort(np.where(tested, p, np.inf), axis=-1, kind="stable")
    ordered = np.take_along_axis(np.where(tested, p, 1.0), order, axis=-1)
    factors = np.maximum(tested.sum(axis=-1, keepdims=True) - np.arange(p.shape[-1]), 1)
    stepped = np.minimum(1.0, np.maximum.accumulate(ordered * factors, axis=-1))
    corrected = np.empty_like(stepped)
    np.put_along_axis(corrected, order, stepped, axis=-1)
    return np.where(tested, corrected, 1.0)


def verdicts(estimate: Estimate, floor: float) -> NDArray[np.int64]:
    """Return each cell's verdict as an index into ``VERDICTS``; ``floor`` 0.03: an effect below 3% is none."""
    low, high = estimate.interval()
    edge = np.log1p(floor)
    differs = (holm(estimate.p, estimate.tested) <= FAMILY_LEVEL) & (np.abs(estimate.log_ratio) >= edge)
    within = estimate.tested & (estimate.smallest_p <= FAMILY_LEVEL) & (low >= -edge) & (high <= edge)
    sign = np.where(estimate.log_ratio > 0, FASTER, SLOWER)
    return np.where(differs, sign, np.where(within, SAME, CANNOT_TELL))


def _moments(values: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Count, mean and variance over the last axis, without the NaN; 0 where there is nothing."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    mean = np.where(there, values, 0.0).sum(axis=-1) / np.maximum(count, 1)
    squares = np.where(there, values - mean[..., np.newaxis], 0.0) ** 2
    return count, mean, squares.sum(axis=-1) / np.maximum(count - 1, 1)


def _estimate(
    repeats: NDArray[np.int64],
    log_ratio: Floats,
    spread: Floats,
    standard_error: Floats,
    freedom: Floats,
    smallest_p: Floats,
    tested: NDArray[np.bool_],
) -> Estimate:
    """Complete an estimate with its p. Values that do not differ at all leave nothing open."""
    exact = tested & (standard_error == 0)
    t = np.abs(log_ratio) / np.where(exact | ~tested, 1.0, standard_error)
    p = 2 * special.stdtr(np.where(tested, freedom, 1.0), -t)
    p = np.where(exact, np.where(log_ratio == 0, 1.0, 0.0), p)
    p = np.where(tested, np.maximum(p, smallest_p), 1.0)
    return Estimate(repeats, log_ratio, spread, standard_error, np.where(tested, freedom, 0.0), p, smallest_p, tested)

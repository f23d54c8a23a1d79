"""The Universal Scalability Law, fitted by nonlinear least squares, with bootstrap intervals.

X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): one worker alone is worth lambda; sigma is the share of
the work that only one can do at a time (contention), kappa what each pair costs to keep in step (coherency). Source:
N. J. Gunther, Guerrilla Capacity Planning (Springer, 2007), chapters 4 and 5.

The least squares are those of the logarithms: noise of a throughput is a share of it, and intervals elsewhere in the
report are on log values too. ln lambda is linear in that form and drops out, so that two parameters are searched for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import special

from stats import intervals
from stats.intervals import CONFIDENCE

RESAMPLES = 600
_SEED = 1
_MOST_STEPS = 200
_GRID = [(sigma, kappa) for sigma in (0.0, 0.02, 0.1, 0.3, 0.7, 1.0) for kappa in (0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0)]
_UPPER = np.array([1.0, np.inf])  # of sigma and kappa; both are at least 0

Floats = NDArray[np.float64]


class Parameter(Struct, frozen=True):
    """A value with its bootstrap interval; ``high`` None: no upper bound."""

    value: float
    low: float
    high: float | None


class ScalingPoint(Struct, frozen=True):
    """The fitted throughput at one number of consumers, in events/s."""

    consumers: int
    value: float
    low: float
    high: float


class Fit(Struct, frozen=True):
    """The law's parameters. ``peak_consumers`` is None where kappa is 0: more consumers never cost throughput.

    ``lack_of_fit_p``: how likely levels that do obey the law scatter as far from the curve as these do. ``curve``: from
    1 consumer to twice the most that were measured.
    """

    lambda_events_per_s: Parameter
    sigma: Parameter
    kappa: Parameter
    peak_consumers: Parameter | None
    lack_of_fit_p: float
    curve: tuple[ScalingPoint, ...]

    def at(self, consumers: int) -> ScalingPoint | None:
        """Return the curve's point, None beyond its end."""
        return next((point for point in self.curve if point.consumers == consumers), None)


@dataclass(frozen=True)
class Data:
    """Levels to fit. ``logs``: of each level's (geometric) mean; ``scatter``: how far resampled means lie from them.

    ``logs`` and ``weights`` have the shape (levels,), ``scatter`` (resamples, levels). ``error_square_sum`` over
    ``error_degrees`` is the variance that a weight of 1 has by the repeats; with 0 degrees it is known to be 1.
    """

    consumers: Floats
    logs: Floats
    weights: Floats
    scatter: Floats
    error_square_sum: float
    error_degrees: int


def from_repeats(levels: Mapping[int, Sequence[float]]) -> Data:
    """Make data of each level's repeats (events/s), at least two a level; all levels share one spread of the logs."""
    consumers = np.array(sorted(levels), dtype=np.float64)
    logs = [np.log(np.asarray(levels[int(level)], dtype=np.float64)) for level in consumers]
    counts = np.array([len(values) for values in logs])
    deviations = np.concatenate([values - values.mean() for values in logs])
    degrees = len(deviations) - len(logs)
    # Deviations from a mean of their own are too small by this factor; with few of them a t quantile is the wider one.
    pool = deviations * np.sqrt(len(deviations) / degrees) * intervals.t_over_normal(degrees)
    rng = np.random.default_rng(_SEED)
    scatter = np.stack([rng.choice(pool, (RESAMPLES, count)).mean(axis=1) for count in counts], axis=1)
    means = np.array([values.mean() for values in logs])
    return Data(consumers, means, counts.astype(np.float64), scatter, float(deviations @ deviations), degrees)


def from_intervals(levels: Mapping[int, tuple[float, float, float]], confidence: float) -> Data:
    """Make data of one answer a level: events/s with the low and the high end of its interval at ``confidence``."""
    consumers = np.array(sorted(levels), dtype=np.float64)
    values = np.log(np.array([levels[int(level)] for level in consumers], dtype=np.float64))
    deviation = (values[:, 2] - values[:, 1]) / (2 * intervals.normal_quantile(confidence))
    deviation = np.maximum(deviation, 1e-6)  # an interval of no width would count for everything
    scatter = np.random.default_rng(_SEED).normal(0.0, deviation, (RESAMPLES, len(consumers)))
    return Data(consumers, values[:, 0], deviation**-2.0, scatter, 0.0, 0)


def fit(data: Data) -> Fit:
    """Fit the law to more than three levels."""
    best, resampled = _solve(data, data.logs[None, :]), _solve(data, data.logs + data.scatter)
    numbers = np.arange(1, 2 * int(data.consumers.max()) + 1, dtype=np.float64)
    curve, curves = np.exp(_log_law(best, numbers))[0], np.exp(_log_law(resampled, numbers))
    lows, highs = np.quantile(curves, _tails(), axis=0)
    points = zip(numbers, curve, lows, highs, strict=True)
    return Fit(
        lambda_events_per_s=_estimate(np.exp(best[0, 0]), np.exp(resampled[:, 0])),
        sigma=_estimate(best[0, 1], resampled[:, 1]),
        kappa=_estimate(best[0, 2], resampled[:, 2]),
        peak_consumers=_estimate(_peak(best)[0], _peak(resampled)) if best[0, 2] > 0 else None,
        lack_of_fit_p=_lack_of_fit(data, best),
        curve=tuple(ScalingPoint(int(n), float(x), float(low), float(high)) for n, x, low, high in points),
    )


def _solve(data: Data, logs: Floats) -> Floats:
    """Return (ln lambda, sigma, kappa) for each row of ``logs``: Levenberg-Marquardt, kept within bounds."""
    n, weights = data.consumers, data.weights / data.weights.sum()
    terms = np.stack([n - 1, n * (n - 1)])
    base = logs - np.log(n)

    def residuals(theta: Floats) -> tuple[Floats, Floats]:
        cost = 1 + theta @ terms
        values = base + np.log(cost)
        return values - (values @ weights)[:, None], cost

    def loss(theta: Floats) -> Floats:
        total: Floats = residuals(theta)[0] ** 2 @ weights
        return total

    starts = [np.broadcast_to(np.array(pair), (len(logs), 2)) for pair in _GRID]
    theta = np.array(starts)[np.argmin([loss(start) for start in starts], axis=0), np.arange(len(logs))]
    lost, damping = loss(theta), np.full(len(logs), 1e-3)
    for _ in range(_MOST_STEPS):
        offset, cost = residuals(theta)
        slopes = terms[None, :, :] / cost[:, None, :]
        slopes = slopes - (slopes @ weights)[:, :, None]
        step = _step(slopes, offset, weights, theta, damping)
        moved = np.clip(theta + step, 0.0, _UPPER)
        new = loss(moved)
        better = new < lost
        theta, lost = np.where(better[:, None], moved, theta), np.where(better, new, lost)
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-12, 1e12)
        if np.all(np.abs(step) <= 1e-9 * (np.abs(theta) + 1e-6)):
            break
    return np.column_stack([(base + np.log(1 + theta @ terms)) @ weights, theta])


def _step(slopes: Floats, offset: Floats, weights: Floats, theta: Floats, damping: Floats) -> Floats:
    """Return each row's damped step; a parameter at a bound that the step would leave stays there."""
    gradient = np.einsum("rpl,rl,l->rp", slopes, offset, weights)
    square = np.einsum("rpl,rql,l->rpq", slopes, slopes, weights)
    held = ((theta <= 0) & (gradient > 0)) | ((theta >= _UPPER) & (gradient < 0))
    a, b = (square[:, p, p] * (1 + damping) + 1e-300 for p in (0, 1))
    c = np.where(held.any(axis=1), 0.0, square[:, 0, 1])
    one, two = np.where(held, 0.0, gradient).T
    step: Floats = -np.stack([one * b - two * c, two * a - one * c], axis=1) / (a * b - c * c)[:, None]
    return step


def _log_law(parameters: Floats, numbers: Floats) -> Floats:
    start, sigma, kappa = (column[:, None] for column in parameters.T)
    logs: Floats = start + np.log(numbers) - np.log(1 + sigma * (numbers - 1) + kappa * numbers * (numbers - 1))
    return logs


def _peak(parameters: Floats) -> Floats:
    """Return the N of the highest throughput: sqrt((1 - sigma) / kappa), at least 1; inf without coherency."""
    _, sigma, kappa = parameters.T
    with np.errstate(divide="ignore", invalid="ignore"):
        peak: Floats = np.where(kappa > 0, np.maximum(np.sqrt((1 - sigma) / kappa), 1.0), np.inf)
    return peak


def _lack_of_fit(data: Data, best: Floats) -> float:
    """Test whether the levels lie further from the curve than repeats scatter: F, or chi-square if that is known."""
    residuals = data.logs - _log_law(best, data.consumers)[0]
    square_sum = float(data.weights @ residuals**2)
    degrees = len(residuals) - 1 - int((best[0, 1:] > 0).sum())
    if not data.error_degrees:
        return float(special.chdtrc(degrees, square_sum))
    ratio = square_sum / degrees / max(data.error_square_sum / data.error_degrees, 1e-300)
    return float(special.fdtrc(degrees, data.error_degrees, ratio))


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2


def _estimate(value: float, resampled: Floats) -> Parameter:
    low, high = np.quantile(resampled, _tails(), method="nearest")
    return Parameter(float(value), float(low), float(high) if np.isfinite(high) else None)

"""The Universal Scalability Law: known parameters are found again, within their intervals as often as these promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from reports.scaling import usl
from reports.scaling.usl import Parameter

LEVELS = (1, 2, 3, 4, 6, 8)


def law(consumers: float, start: float, sigma: float, kappa: float) -> float:
    return start * consumers / (1 + sigma * (consumers - 1) + kappa * consumers * (consumers - 1))


def noisy(seed: int, sigma: float, kappa: float, repeats: int = 5, noise: float = 0.05) -> dict[int, list[float]]:
    rng = np.random.default_rng(seed)
    return {n: [law(n, 10_000, sigma, kappa) * math.exp(rng.normal(0, noise)) for _ in range(repeats)] for n in LEVELS}


def holds(estimate: Parameter | None, true: float) -> bool:
    return estimate is None or estimate.low <= true <= (math.inf if estimate.high is None else estimate.high)


@pytest.mark.parametrize(("sigma", "kappa"), [(0.08, 0.004), (0.3, 0.02), (0.0, 0.01), (0.1, 0.0), (1.0, 0.0)])
def test_without_noise_the_parameters_are_found_exactly(sigma: float, kappa: float) -> None:
    found = usl.fit(usl.from_repeats(noisy(0, sigma, kappa, noise=1e-9)))
    assert found.lambda_events_per_s.value == pytest.approx(10_000, rel=1e-6)
    assert (found.sigma.value, found.kappa.value) == (pytest.approx(sigma, abs=1e-6), pytest.approx(kappa, abs=1e-6))


def test_more_than_proportional_growth_leaves_both_at_0() -> None:
    found = usl.fit(usl.from_repeats({n: [1_000 * n**1.2 * (1 + noise) for noise in (-0.01, 0, 0.01)] for n in LEVELS}))
    assert (found.sigma.value, found.kappa.value, found.peak_consumers) == (0, 0, None)
    assert min(found.sigma.low, found.kappa.low) == 0


def test_the_peak_is_where_one_more_consumer_begins_to_cost() -> None:
    found = usl.fit(usl.from_repeats(noisy(0, 0.1, 0.009, noise=1e-9)))
    assert found.peak_consumers is not None
    assert found.peak_consumers.value == pytest.approx(10.0, rel=1e-4)
    point = found.at(10)
    assert point is not None
    assert point.value == max(each.value for each in found.curve)
    assert usl.fit(usl.from_repeats(noisy(0, 0.1, 0.0, noise=1e-9))).curve[-1].value > point.value


def test_the_least_squares_are_those_of_scipy() -> None:
    for seed, (sigma, kappa) in enumerate([(0.0, 0.0), (0.05, 0.001), (0.6, 0.0), (0.0, 0.05), (1.0, 0.01)]):
        levels = noisy(seed, sigma, kappa)
        n = np.repeat(LEVELS, 5).astype(float)
        logs = np.log(np.concatenate([levels[level] for level in LEVELS]))

        def residuals(p: np.ndarray, n: np.ndarray = n, logs: np.ndarray = logs) -> np.ndarray:
            return p[0] + np.log(n) - np.log(1 + p[1] * (n - 1) + p[2] * n * (n - 1)) - logs

        bounds = ([-np.inf, 0, 0], [np.inf, 1, np.inf])
        theirs = optimize.least_squares(residuals, [9.0, 0.1, 0.001], bounds=bounds, x_scale=[1, 0.1, 0.01], xtol=1e-14)
        ours = usl.fit(usl.from_repeats(levels))
        parameters = np.array([math.log(ours.lambda_events_per_s.value), ours.sigma.value, ours.kappa.value])
        assert np.square(residuals(parameters)).sum() <= 2 * theirs.cost * (1 + 1e-9)


def test_intervals_hold_the_true_parameters_as_often_as_they_promise() -> None:
    sigma, kappa, seeds = 0.08, 0.004, 60
    fits = [usl.fit(usl.from_repeats(noisy(seed, sigma, kappa))) for seed in range(seeds)]
    least = stats.binom.ppf(0.01, seeds, 0.9)  # constrained to 0 and above, they are a little short of 95%
    assert sum(holds(fit.lambda_events_per_s, 10_000) for fit in fits) >= least
    assert sum(holds(fit.sigma, sigma) for fit in fits) >= least
    assert sum(holds(fit.kappa, kappa) for fit in fits) >= least
    assert sum(holds(fit.peak_consumers, math.sqrt((1 - sigma) / kappa)) for fit in fits) >= least
    assert min(fit.kappa.low for fit in fits) == 0  # the bound that is kept to
    assert sum(fit.lack_of_fit_p < 0.01 for fit in fits) <= stats.binom.ppf(0.99, seeds, 0.01)


def test_the_same_levels_give_the_same_intervals() -> None:
    assert usl.fit(usl.from_repeats(noisy(4, 0.1, 0.01))) == usl.fit(usl.from_repeats(noisy(4, 0.1, 0.01)))


def test_levels_on_no_such_curve_are_seen() -> None:
    levels = noisy(1, 0.1, 0.004)
    levels[3] = [value * 0.7 for value in levels[3]]
    assert usl.fit(usl.from_repeats(levels)).lack_of_fit_p < 1e-4


def test_answers_with_intervals_weigh_by_how_sure_they_are() -> None:
    answers = {n: law(n, 10_000, 0.1, 0.01) for n in LEVELS}
    bounds = {n: (value, value * 0.97, value * 1.03) for n, value in answers.items()}
    bounds[4] = (answers[4] * 1.3, answers[4] * 0.7, answers[4] * 1.9)
    found = usl.fit(usl.from_intervals(bounds, 0.95))
    assert found.sigma.value == pytest.approx(0.1, abs=0.01)
    assert found.kappa.value == pytest.approx(0.01, abs=0.002)
    assert found.lack_of_fit_p > 0.05
    bounds[4] = (answers[4] * 1.3, answers[4] * 1.26, answers[4] * 1.34)
    assert usl.fit(usl.from_intervals(bounds, 0.95)).lack_of_fit_p < 1e-4

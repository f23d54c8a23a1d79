"""How right the search is: 200 searches of simulated systems whose capacity is known.

Each probe meets the machine as fast as it was in one of the recorded repeats. The *true* threshold is that of the
machine in its median repeat: the load whose deficit in the long run is the allowed 2%, capacity / 0.98. The objective
is left out; where it binds first, it takes the place of the 2%.
"""

from typing import NamedTuple

import numpy as np
import pytest

from bench.search.search import NextLoad, ProbeOutcome, SearchAnswer, SearchSettings, Step, next_step
from bench.search.sustained import ALLOWED_SHARE, BIN_S, judge_bins
from tests.unit.bench.search.noise import of_the_moment, simulate

SEARCHES = 200
START = 15_000.0  # half of the middle capacity, as where half of a drain's throughput is offered first


class _Searched(NamedTuple):
    truth: float
    probes: list[ProbeOutcome]
    answer: SearchAnswer


def _probe(load: float, step: Step, median_capacity: float, random: np.random.Generator) -> ProbeOutcome:
    """A probe of 12 s that is watched for 24 s if that does not tell."""
    simulated = simulate(load, of_the_moment(median_capacity, random), 24.0, random)
    for length_s in (12.0, 24.0):
        judged = judge_bins(simulated.deficits(length_s), BIN_S, load)
        if judged.verdict != "straddles":
            return ProbeOutcome(load, judged.verdict, judged.holds, step)
    return ProbeOutcome(load, "undetermined", judged.holds, step)


def _search(seed: int, settings: SearchSettings | None = None) -> _Searched:
    random = np.random.default_rng(seed)
    capacity = float(30_000 * np.exp(random.uniform(-0.35, 0.35)))
    probes: list[ProbeOutcome] = []
    settings = settings or SearchSettings(start_events_per_s=START)
    while isinstance(step := next_step(settings, probes), NextLoad):
        probes.append(_probe(step.load_events_per_s, step.step, capacity, random))
    return _Searched(capacity / (1 - ALLOWED_SHARE), probes, step)


@pytest.fixture(scope="module")
def searches() -> list[_Searched]:
    return [_search(seed) for seed in range(SEARCHES)]


def test_the_interval_covers_the_truth_in_nine_of_ten_searches(searches):
    covered = [
        (each.answer.low_events_per_s or 0.0) <= each.truth <= (each.answer.high_events_per_s or np.inf)
        for each in searches
    ]
    assert np.mean(covered) >= 0.9


def test_two_searches_of_one_system_are_called_different_in_one_of_twenty_at_most(searches):
    """By their medians and intervals, as two runs are compared; each is taken relative to its own truth."""
    answered = [each for each in searches if each.answer.median_events_per_s is not None]
    off = np.log([(each.answer.median_events_per_s or 1.0) / each.truth for each in answered])
    widths = [(each.answer.high_events_per_s or 1.0) / (each.answer.low_events_per_s or 1.0) for each in answered]
    errors = np.log(widths) / (2 * 1.96)
    z = (off - np.roll(off, 1)) / np.hypot(errors, np.roll(errors, 1))
    assert len(answered) >= 0.95 * SEARCHES
    assert np.mean(np.abs(z) > 1.96) <= 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / SEARCHES)


def test_the_interval_is_narrow_enough_to_be_useful(searches):
    assert all(each.answer.high_events_per_s is not None for each in searches)
    widths = [(each.answer.high_events_per_s or np.inf) / (each.answer.low_events_per_s or 1e-9) for each in searches]
    assert np.median(widths) <= 1.4


def test_nearly_all_searches_confirm_an_answer_below_the_truth_and_not_far_below(searches):
    confirmed = [each for each in searches if each.answer.confirmed]
    assert len(confirmed) >= 0.95 * SEARCHES
    shares = [(each.answer.sustainable_events_per_s or 0.0) / each.truth for each in confirmed]
    assert np.mean(np.array(shares) > 1.03) <= 0.02
    assert np.median(shares) >= 0.75


def test_a_load_three_percent_above_the_truth_is_called_sustained_in_at_most_a_tenth():
    """By the rule of the search: a load counts as sustained if the probe and its two repeats are."""
    random = np.random.default_rng(1)
    settings = SearchSettings(start_events_per_s=START)
    load = 1.03 * 30_000 / (1 - ALLOWED_SHARE)
    called = [
        all(
            _probe(load, "confirmation", 30_000, random).verdict == "sustained"
            for _ in range(1 + settings.confirmations)
        )
        for _ in range(300)
    ]
    assert np.mean(called) <= 0.1


def test_a_search_takes_about_thirteen_probes(searches):
    assert np.mean([len(each.probes) for each in searches]) <= 13.5


def test_a_search_of_quick_covers_the_truth_too_and_seldom_calls_more_than_it_sustained():
    """Six probes, as many as there is time for, from a first load that lies 30% below to 40% above the truth."""
    settings = SearchSettings(start_events_per_s=28_000, max_probes=6, resolution=0.15, confirmations=1)
    found = [_search(seed, settings) for seed in range(SEARCHES)]
    covered = [
        (each.answer.low_events_per_s or 0.0) <= each.truth <= (each.answer.high_events_per_s or np.inf)
        for each in found
    ]
    assert np.mean(covered) >= 0.9
    confirmed = [each for each in found if each.answer.confirmed]
    assert len(confirmed) >= 0.8 * SEARCHES
    shares = np.array([(each.answer.sustainable_events_per_s or 0.0) / each.truth for each in confirmed])
    assert np.mean(shares > 1.03) <= 0.03

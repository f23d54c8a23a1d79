"""The statistics of a comparison, on examples worked by hand and on simulated runs with the noise of a real one.

The noise is drawn from repeats.json, the repeats of a run that measured the same four cells twelve times: outliers and
all, not a normal distribution.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from reports.ratios import groups
from stats import inference, power
from stats.inference import CANNOT_TELL, FASTER, SAME, SLOWER
from tests.unit.reports.made_repeats import residuals

NOISE = [
    residuals("drain-p3-c1", "throughput"),
    residuals("drain-p3-c2", "throughput"),
    residuals("steady-p3-c1-at20000", "delivery_latency_p99"),
    residuals("steady-p3-c1-at32000", "delivery_latency_p50"),
]
CELLS = 12
COMPARISONS = 2_000
FLOOR, EFFECT = 0.03, 0.10
BOUND = 0.05 + 1.96 * math.sqrt(0.05 * 0.95 / COMPARISONS)
Logs = NDArray[np.float64]


def draw(rng: np.random.Generator, comparisons: int, rounds: int) -> Logs:
    """Logs of twelve cells: each kind of noise three times."""
    cells = [rng.choice(NOISE[cell % len(NOISE)], (comparisons, rounds)) for cell in range(CELLS)]
    return np.stack(cells, axis=1)


def alarms(verdicts: NDArray[np.int64]) -> float:
    return float(((verdicts == FASTER) | (verdicts == SLOWER)).any(axis=-1).mean())


@pytest.mark.parametrize("rounds", [9, 12, 30])
@pytest.mark.parametrize("design", [inference.paired, inference.unpaired])
def test_where_nothing_differs_at_most_one_comparison_in_twenty_says_so(design, rounds) -> None:
    rng = np.random.default_rng(20261122)
    estimate = design(draw(rng, COMPARISONS, rounds), draw(rng, COMPARISONS, rounds))
    assert alarms(inference.verdicts(estimate, FLOOR)) <= BOUND
    uncorrected = (estimate.p <= inference.FAMILY_LEVEL).any(axis=-1).mean()
    assert uncorrected > 5 * BOUND  # without Holm's correction it would not hold


@pytest.mark.parametrize("noise", range(len(NOISE)))
def test_a_slowdown_of_a_tenth_is_found_at_the_recommended_rounds(noise: int) -> None:
    """The recommendation of each of 200 comparisons of 12 rounds, tried on new comparisons with one cell slower."""
    rng = np.random.default_rng(20261123 + noise)
    found = []
    for _ in range(200):
        before = inference.paired(rng.choice(NOISE[noise], 12), rng.choice(NOISE[noise], 12))
        spreads = power.plausible_spreads(float(before.spread), float(before.freedom))
        rounds = power.rounds_to_tell(spreads, cells=CELLS, effect=EFFECT, floor=FLOOR)
        assert rounds is not None
        base, new = draw(rng, 1, rounds), draw(rng, 1, rounds)
        base[:, 0], new[:, 0] = rng.choice(NOISE[noise], (2, 1, rounds))
        new[:, 0] -= math.log1p(EFFECT)
        found.append(inference.verdicts(inference.paired(base, new), FLOOR)[0, 0] == SLOWER)
    assert np.mean(found) >= 0.9


def test_a_slowdown_of_all_cells_is_found_in_each_as_often() -> None:
    rng = np.random.default_rng(20261124)
    spreads = [noise.std() * math.sqrt(2) for noise in NOISE]
    rounds = [power.rounds_to_tell(np.array([s]), cells=CELLS, effect=EFFECT, floor=FLOOR) or 0 for s in spreads]
    base, new = draw(rng, 200, max(rounds)), draw(rng, 200, max(rounds)) - math.log1p(EFFECT)
    verdicts = inference.verdicts(inference.paired(base, new), FLOOR)
    assert (verdicts == SLOWER).mean(axis=0).min() >= 0.9


def test_the_paired_p_is_that_of_students_t_test() -> None:
    rng = np.random.default_rng(3)
    base, new = rng.normal(0, 0.1, (2, 1, 12))
    expected = stats.ttest_rel(new[0], base[0])
    estimate = inference.paired(base, new)
    assert estimate.p[0] == pytest.approx(expected.pvalue)
    low, high = estimate.interval()
    assert (low[0], high[0]) == pytest.approx(tuple(expected.confidence_interval()))


def test_the_unpaired_p_is_that_of_welchs_t_test_whatever_the_numbers_of_repeats() -> None:
    rng = np.random.default_rng(4)
    base, new = rng.normal(0, 0.1, (1, 12)), rng.normal(0.05, 0.2, (1, 12))
    base[0, 7:] = np.nan
    expected = stats.ttest_ind(new[0], base[0, :7], equal_var=False)
    estimate = inference.unpaired(base, new)
    assert estimate.p[0] == pytest.approx(expected.pvalue)
    low, high = estimate.interval()
    assert (low[0], high[0]) == pytest.approx(tuple(expected.confidence_interval()))


def test_holm_multiplies_by_the_tests_that_are_left_and_never_falls() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.2])
    tested = np.array([True, True, True, True, False])
    assert inference.holm(p, tested) == pytest.approx([0.03, 0.06, 0.06, 0.02, 1.0])


@pytest.mark.parametrize(("rounds", "attainable"), [(2, 0.5), (5, 0.0625), (9, 0.00390625)])
def test_no_p_is_below_what_the_signs_of_n_pairs_can_show(rounds: int, attainable: float) -> None:
    base = np.zeros((1, rounds))
    new = np.log(2.0) + np.linspace(0, 1e-6, rounds)[np.newaxis]  # twice as fast in every round, almost without noise
    estimate = inference.paired(base, new)
    assert (estimate.smallest_p[0], estimate.p[0]) == (attainable, attainable)


def test_runs_that_were_not_interleaved_are_bound_by_the_ways_to_split_their_repeats() -> None:
    base = np.zeros((1, 4)) + np.linspace(0, 1e-6, 4)
    estimate = inference.unpaired(base, base + np.log(2.0))
    assert (estimate.smallest_p[0], estimate.p[0]) == (pytest.approx(2 / 70), pytest.approx(2 / 70))


@pytest.mark.parametrize(("cells", "rounds"), [(1, 6), (4, 8), (12, 9), (28, 11)])
def test_below_the_fewest_rounds_even_the_plainest_difference_has_no_verdict(cells: int, rounds: int) -> None:
    assert power.fewest_rounds(cells) == rounds
    for given, verdict in ((rounds - 1, CANNOT_TELL), (rounds, FASTER)):
        base = np.zeros((cells, given))
        new = base + np.log(2.0) + np.linspace(0, 1e-6, given)
        assert set(inference.verdicts(inference.paired(base, new), FLOOR)) == {verdict}


@pytest.mark.parametrize(
    ("ratio", "spread", "verdict"),
    [(1.0, 0.01, SAME), (1.02, 0.005, SAME), (1.02, 0.03, CANNOT_TELL), (1.06, 0.02, FASTER), (0.94, 0.02, SLOWER)],
    ids=["nothing", "a real effect below the floor", "noise across the floor", "faster", "slower"],
)
def test_a_verdict_needs_an_effect_beyond_the_floor_and_same_an_interval_within(ratio, spread, verdict) -> None:
    steps = np.linspace(-1, 1, 12)
    differences = math.log(ratio) + spread * steps / steps.std(ddof=1)
    assert inference.verdicts(inference.paired(np.zeros((1, 12)), differences[np.newaxis]), FLOOR)[0] == verdict


def test_two_rounds_that_happen_to_agree_show_no_sameness() -> None:
    base = np.zeros((1, 2))
    assert inference.verdicts(inference.paired(base, base + np.array([0.0, 1e-9])), FLOOR)[0] == CANNOT_TELL


def test_cells_without_two_pairs_are_not_tested_and_do_not_count_for_holm() -> None:
    base = np.full((2, 12), np.nan)
    base[0], base[1, 0] = 0.0, 0.0
    new = base + np.log(1.5) + np.linspace(0, 0.01, 12)
    estimate = inference.paired(base, new)
    assert list(estimate.tested) == [True, False]
    assert inference.holm(estimate.p, estimate.tested)[0] == estimate.p[0]
    assert list(inference.verdicts(estimate, FLOOR)) == [FASTER, CANNOT_TELL]


def test_the_power_is_that_of_the_noncentral_t_distribution() -> None:
    spreads = np.array([0.1])
    rounds = power.rounds_to_tell(spreads, cells=1, effect=EFFECT, floor=0.0)
    assert rounds is not None
    shift = math.log1p(EFFECT) / 0.1

    def exact(n: int) -> float:
        needed = stats.t.ppf(0.975, n - 1)
        return float(stats.nct.sf(needed, n - 1, shift * math.sqrt(n)))

    assert exact(rounds - 1) < power.POWER + 0.01
    assert exact(rounds) > power.POWER - 0.01


def test_the_fewer_rounds_the_noise_is_known_from_the_more_are_recommended() -> None:
    def recommended(freedom: float) -> int:
        spreads = power.plausible_spreads(0.15, freedom)
        return power.rounds_to_tell(spreads, cells=12, effect=EFFECT, floor=FLOOR) or 0

    assert recommended(5) > recommended(11) > recommended(100) > 0


def test_the_smallest_change_reported_is_found_by_these_rounds() -> None:
    spreads = power.plausible_spreads(0.12, 19)
    effect = power.smallest_effect(spreads / math.sqrt(20), 19, smallest_p=2 / 2**20, cells=4, floor=FLOOR)
    assert effect is not None
    assert power.rounds_to_tell(spreads, cells=4, effect=effect, floor=FLOOR) == 20
    assert power.smallest_effect(spreads / math.sqrt(7), 6, smallest_p=2 / 2**7, cells=4, floor=FLOOR) is None


def test_the_smallest_change_seen_is_found_in_nine_of_ten_comparisons_that_were_not_interleaved() -> None:
    rng = np.random.default_rng(20261130)
    rounds, found = 8, []
    for _ in range(1_000):
        before = inference.unpaired(*rng.choice(NOISE[0], (2, 1, rounds)))
        effect = groups.smallest_effect(before, 0, cells=1, floor=FLOOR, known_by=rounds - 1)
        assert effect is not None
        base, new = rng.choice(NOISE[0], (2, 1, rounds))
        found.append(inference.verdicts(inference.unpaired(base, new - math.log1p(effect)), FLOOR)[0] == SLOWER)
    assert np.mean(found) >= 0.9 - 1.96 * math.sqrt(0.9 * 0.1 / 1_000)


@pytest.mark.parametrize(("cells", "rounds"), [(1, 4), (4, 5), (12, 6)])
def test_runs_that_were_not_interleaved_have_fewest_rounds_of_their_own(cells: int, rounds: int) -> None:
    assert power.fewest_rounds(cells, paired=False) == rounds
    for given, verdict in ((rounds - 1, CANNOT_TELL), (rounds, FASTER)):
        base = np.zeros((cells, given)) + np.linspace(0, 1e-6, given)
        assert set(inference.verdicts(inference.unpaired(base, base + np.log(2.0)), FLOOR)) == {verdict}


class TestAllCellsOfAKindTogether:
    ONE_GROUP = np.ones((1, CELLS), dtype=np.bool_)

    @pytest.mark.parametrize("design", [inference.paired, inference.unpaired])
    def test_where_nothing_differs_at_most_one_comparison_in_twenty_says_so(self, design) -> None:
        rng = np.random.default_rng(20261201)
        estimates = [design(draw(rng, 1, 3)[0], draw(rng, 1, 3)[0]) for _ in range(COMPARISONS)]
        verdicts = [inference.verdicts(inference.together(each, self.ONE_GROUP), FLOOR)[0] for each in estimates]
        assert np.mean(np.isin(verdicts, (FASTER, SLOWER))) <= BOUND

    def test_cells_together_show_what_three_rounds_of_one_cell_cannot(self) -> None:
        rng = np.random.default_rng(5)
        base, new = rng.normal(0, 0.05, (2, 6, 3))
        estimate = inference.unpaired(base, new - math.log(1.3))
        assert set(inference.verdicts(estimate, FLOOR)) == {CANNOT_TELL}
        whole = inference.together(estimate, np.ones((1, 6), dtype=np.bool_))
        assert inference.verdicts(whole, FLOOR)[0] == SLOWER
        assert whole.smallest_p[0] == pytest.approx(2 / math.comb(6, 3) ** 6)

    def test_a_group_needs_two_cells_that_can_be_tested(self) -> None:
        base = np.zeros((2, 6)) + np.linspace(0, 0.1, 6)
        base[1, 1:] = np.nan
        estimate = inference.paired(base, base + 0.5)
        assert not inference.together(estimate, np.ones((1, 2), dtype=np.bool_)).tested[0]


@pytest.mark.parametrize(
    ("base", "new", "expected"), [((0, 3), (3, 3), 0.05), ((0, 3), (1, 3), 0.5), ((1, 10), (9, 10), 0.000547)]
)
def test_shares_of_repeats_are_held_against_each_other_by_fishers_exact_test(base, new, expected) -> None:
    table = [[new[0], new[1] - new[0]], [base[0], base[1] - base[0]]]
    assert inference.exact_p(base, new) == pytest.approx(stats.fisher_exact(table, "greater").pvalue)
    assert inference.exact_p(base, new) == pytest.approx(expected, rel=0.01)

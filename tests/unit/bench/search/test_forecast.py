"""What is clearly lost is stopped, and what may yet be sustained never."""

import numpy as np
import pytest

from bench.search.forecast import RunningCounts, lost
from bench.search.sustained import BIN_S, judge_bins
from tests.unit.bench.search.noise import WARMUP_S, Simulated, of_the_moment, recorded, simulate

WINDOW_S = (3.0, 15.0)
OBJECTIVE_MS = 1_000.0


def _seen(accepted_per_s: list[float], stored_per_s: list[float]) -> list[RunningCounts]:
    """What was counted up to the end of each second."""
    both = zip(np.cumsum(accepted_per_s), np.cumsum(stored_per_s), strict=True)
    return [
        RunningCounts(second, round(accepted), round(stored)) for second, (accepted, stored) in enumerate(both, start=1)
    ]


def _stopped_at_s(
    seen: list[RunningCounts], load: float, window_s: tuple[float, float] = WINDOW_S, objective_ms: float | None = None
) -> float | None:
    for count in range(1, len(seen) + 1):
        if lost(seen[:count], window_s, load, objective_ms) is not None:
            return seen[count - 1].at_s
    return None


def _live(simulated: Simulated) -> list[RunningCounts]:
    per_second = round(1 / BIN_S)
    accepted, stored = (x.reshape(-1, per_second).sum(axis=1) for x in (simulated.accepted, simulated.stored))
    return _seen(list(accepted), list(stored))


def test_a_system_that_stores_half_of_what_it_accepts_is_lost_soon():
    seen = _seen([20_000] * 15, [10_000] * 15)
    stopped_s = _stopped_at_s(seen, 20_000)
    assert stopped_s is not None
    assert stopped_s <= 8
    assert "even at the best rate seen" in (lost(seen[:10], WINDOW_S, 20_000) or "")


def test_a_system_that_keeps_up_is_not_lost():
    assert _stopped_at_s(_seen([20_000] * 15, [19_000, *[20_000] * 14]), 20_000) is None


def test_a_stall_that_can_be_made_up_for_is_not_lost():
    stored = [20_000] * 5 + [0] * 3 + [35_000] * 4 + [20_000] * 3
    assert _stopped_at_s(_seen([20_000] * 15, stored), 20_000) is None


def test_a_system_that_stands_still_may_yet_catch_up_faster_than_it_ever_had_to_work():
    stored = [20_000] * 4 + [0] * 5 + [45_000] * 4 + [20_000] * 2
    assert _stopped_at_s(_seen([20_000] * 15, stored), 20_000) is None


def test_a_few_events_too_late_are_not_taken_at_their_word():
    """What is counted live lags: 1.2% late of a p99 objective's 1% may be none in the end."""
    stored = [20_000] * 6 + [0, 17_000, *[21_500] * 7]
    assert _stopped_at_s(_seen([20_000] * 15, stored), 20_000, objective_ms=OBJECTIVE_MS) is None
    stored[7] = 8_000
    assert _stopped_at_s(_seen([20_000] * 15, stored), 20_000, objective_ms=OBJECTIVE_MS) is not None


def test_a_stall_is_lost_where_the_objective_asks_for_less():
    stored = [20_000] * 5 + [0] * 3 + [35_000] * 4 + [20_000] * 3
    seen = _seen([20_000] * 15, stored)
    assert _stopped_at_s(seen, 20_000, objective_ms=OBJECTIVE_MS) == 7
    assert "already later than 1000 ms" in (lost(seen[:7], WINDOW_S, 20_000, OBJECTIVE_MS) or "")


def test_nothing_is_lost_in_the_warm_up_or_after_the_window():
    seen = _seen([20_000] * 20, [5_000] * 20)
    assert lost(seen[:3], WINDOW_S, 20_000, OBJECTIVE_MS) is None
    assert lost(seen, WINDOW_S, 20_000, OBJECTIVE_MS) is None
    assert lost([], WINDOW_S, 20_000) is None


def test_no_repeat_of_the_real_system_that_kept_up_is_stopped():
    kept_up = [repeat for repeat in recorded() if repeat["offered_events_per_s"] == 20_000]
    for repeat in kept_up:
        seen = [
            RunningCounts(second, accepted, stored)
            for second, (accepted, stored) in enumerate(
                zip(repeat["accepted_by"], repeat["stored_by"], strict=True), start=1
            )
        ]
        assert _stopped_at_s(seen, 20_000, objective_ms=OBJECTIVE_MS) is None, repeat["repeat"]


@pytest.mark.parametrize("objective_ms", [None, OBJECTIVE_MS])
def test_of_simulated_probes_at_the_edge_none_that_is_sustained_is_stopped(objective_ms):
    """With an objective, one that meets it in the end too: a p99 of what is on its way by the load of a second."""
    random = np.random.default_rng(6)
    sustained = 0
    for _ in range(600):
        load = 30_000 * random.uniform(0.6, 1.05)
        simulated = simulate(load, of_the_moment(30_000, random), 12.0, random)
        deficits = simulated.deficits(12.0)
        waiting_s = np.cumsum(simulated.accepted - simulated.stored)[round(WARMUP_S / BIN_S) :] / load
        met = objective_ms is None or np.quantile(waiting_s, 0.99) <= objective_ms / 1e3
        if met and judge_bins(deficits, BIN_S, load).verdict == "sustained":
            sustained += 1
            assert _stopped_at_s(_live(simulated), load, objective_ms=objective_ms) is None
    assert sustained > 200


def test_of_simulated_probes_far_above_capacity_most_are_stopped_halfway():
    random = np.random.default_rng(7)
    stopped_s = [_stopped_at_s(_live(simulate(45_000, 30_000, 12.0, random)), 45_000) for _ in range(100)]
    assert sum(each is not None and each <= 9 for each in stopped_s) >= 80

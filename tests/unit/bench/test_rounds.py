"""The order within interleaved rounds, and what the ratios of pairs show."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from bench import rounds

LOOPS = [("insert", "worker"), ("produce", "api", "offering"), ("consume",)]


def test_a_round_has_everything_once_and_groups_stay_together() -> None:
    for seed in range(50):
        order = rounds.shuffled(LOOPS, rounds.coin(seed))
        assert Counter(order) == Counter(item for group in LOOPS for item in group)
        for group in LOOPS:
            places = [order.index(item) for item in group]
            assert max(places) - min(places) == len(group) - 1


def test_chance_sets_the_order_of_groups_and_of_their_members() -> None:
    orders = {tuple(rounds.shuffled(LOOPS, rounds.coin(seed))) for seed in range(1_000)}
    assert len(orders) == math.factorial(3) * math.factorial(2) * math.factorial(3)


def test_neighbours_keep_the_order_of_the_groups_and_either_comes_first_as_often() -> None:
    order = list(rounds.neighbours([(0, 1)] * 2_000, rounds.coin(1, "pairs")))
    first = order[::2]
    assert all({order[at], order[at + 1]} == {0, 1} for at in range(0, len(order), 2))
    assert 900 < sum(first) < 1_100


def test_the_same_seed_is_the_same_order() -> None:
    first, again, other = (rounds.shuffled(LOOPS * 9, rounds.coin(*seed)) for seed in ((1, 2), (1, 2), (1, 3)))
    assert first == again != other


def test_a_ratio_is_the_geometric_mean_of_pairs_with_one_sided_bounds() -> None:
    found = rounds.ratio([0.5, 1.0, 2.0])
    assert found is not None
    # 2.919986 is the 95% point of t with 2 degrees of freedom in any table.
    half = 2.919986 * math.log(2) / math.sqrt(3)
    assert (found.n, found.mean) == (3, pytest.approx(1.0))
    assert (found.low, found.high) == (pytest.approx(math.exp(-half)), pytest.approx(math.exp(half)))


def test_without_pairs_there_is_no_ratio() -> None:
    assert rounds.ratio([]) is None

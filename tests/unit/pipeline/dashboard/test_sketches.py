"""Counting in bounded memory: what the estimates promise holds."""

from __future__ import annotations

import random
import zlib
from collections import Counter

import pytest

from pipeline.dashboard.sketches import Distinct, Frequent


@pytest.mark.parametrize("count", [0, 1, 10, 1_000, 5_000, 100_000])
def test_distinct_users_are_estimated_within_four_standard_errors(count: int) -> None:
    users = Distinct(11)
    users.add_all(f"user-{each}" for each in range(count))
    assert abs(users.estimate() - count) <= max(1, 4 * 0.023 * count)


def test_a_user_that_comes_again_changes_nothing() -> None:
    users = Distinct(11)
    users.add_all(["1", "2"])
    before = users.packed()
    users.add_all(["2", "1", "2"])
    assert users.packed() == before


def test_merged_users_are_those_of_both() -> None:
    one, other, both = Distinct(11), Distinct(11), Distinct(11)
    one.add_all(map(str, range(3_000)))
    other.add_all(map(str, range(2_000, 5_000)))
    both.add_all(map(str, range(5_000)))
    one.merge(other)
    assert one.registers == both.registers


def test_a_copy_changes_without_its_original() -> None:
    users = Distinct(11)
    copy = users.copy()
    copy.add_all(["1"])
    assert (users.estimate(), copy.estimate()) == (0, 1)


def test_users_survive_the_way_through_the_database() -> None:
    users = Distinct(11)
    users.add_all(map(str, range(500)))
    assert Distinct.unpacked(11, users.packed()).registers == users.registers
    assert len(users.packed()) < len(users.registers)


@pytest.mark.parametrize("packed", [b"", b"no registers", zlib.compress(bytes(17)), zlib.compress(bytes(1 << 20))])
def test_bytes_that_are_not_registers_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="registers"):
        Distinct.unpacked(11, packed)


def test_a_text_with_half_a_character_counts_too() -> None:
    users = Distinct(11)
    users.add_all(["\ud800", "\udfff"])
    assert users.estimate() == 2


def stream(seed: int) -> list[str]:
    """Few names that are frequent, and very many that came once or twice."""
    chosen = random.Random(seed)  # noqa: S311  a test's
    return [f"/{int(chosen.paretovariate(1.1))}" for _ in range(30_000)]


def batches(names: list[str]) -> list[Counter[str]]:
    return [Counter(names[at : at + 700]) for at in range(0, len(names), 700)]


@pytest.mark.parametrize("capacity", [10, 50, 500])
def test_no_count_is_too_high_and_none_too_low_by_more_than_is_said(capacity: int) -> None:
    names = stream(1)
    true, frequent = Counter(names), Frequent(capacity)
    for batch in batches(names):
        frequent.add(batch)
    assert len(frequent.counts) <= capacity
    assert frequent.missed <= len(names) / (capacity + 1)
    assert all(0 <= true[name] - frequent.counts.get(name, 0) <= frequent.missed for name in true)


def test_the_bounds_hold_after_merging_too() -> None:
    minutes = []
    for seed in range(20):
        minute = Frequent(50)
        for batch in batches(stream(seed)):
            minute.add(batch)
        minutes.append(minute)
    true, merged = Counter(name for seed in range(20) for name in stream(seed)), Frequent(200)
    for minute in minutes:
        merged.merge(minute)
    assert merged.total == 20 * 30_000
    assert all(0 <= true[name] - merged.counts.get(name, 0) <= merged.missed for name in true)
    assert merged.top(1)[0][0] == true.most_common(1)[0][0]


def test_a_name_with_more_than_its_share_is_never_lost_among_others() -> None:
    frequent = Frequent(10)
    for number in range(100):
        frequent.add({f"/once/{number}/{each}": 1 for each in range(80)} | {"/home": 20})
    assert frequent.top(1)[0][0] == "/home"


def test_few_names_are_counted_exactly() -> None:
    frequent = Frequent(3)
    frequent.add({"a": 2, "b": 1})
    frequent.add({"a": 1, "c": 3})
    assert (frequent.top(3), frequent.missed) == ([("a", 3), ("c", 3), ("b", 1)], 0)

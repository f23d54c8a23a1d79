"""Intervals and gates, against numbers worked out apart."""

from __future__ import annotations

import math

import pytest

from stats import intervals
from stats.intervals import LogT
from stats.percentiles import largest_share


def test_the_interval_is_students_on_the_logs() -> None:
    # logs 1, 2, 3: mean 2, standard deviation 1, t(0.975; 2) = 4.302653, half width 4.302653 / sqrt(3) = 2.484138
    interval = intervals.log_t([math.exp(1), math.exp(2), math.exp(3)])
    assert interval is not None
    assert (interval.n, interval.mean) == (3, pytest.approx(math.exp(2)))
    assert interval.low == pytest.approx(math.exp(2 - 2.484138), rel=1e-5)
    assert interval.high == pytest.approx(math.exp(2 + 2.484138), rel=1e-5)


def test_the_mean_is_geometric() -> None:
    interval = intervals.log_t([10_000, 40_000])
    assert interval is not None
    assert interval.mean == pytest.approx(20_000)


def test_one_repeat_has_no_interval() -> None:
    assert intervals.log_t([123.0]) == LogT(1, pytest.approx(123.0), None, None)


@pytest.mark.parametrize("values", [[], [5.0, 0.0], [-1.0]])
def test_without_logarithms_there_is_none(values: list[float]) -> None:
    assert intervals.log_t(values) is None


@pytest.mark.parametrize(
    ("share", "requests", "expected"),
    [
        (0.9, 99, False),
        (0.9, 100, True),
        (0.99, 999, False),
        (0.99, 1000, True),
        (0.999, 9_999, False),
        (0.5, 0, False),
    ],
)
def test_a_percentile_needs_ten_requests_beyond(share: float, requests: int, *, expected: bool) -> None:
    assert (share <= largest_share(requests)) is expected


def test_an_interval_on_a_logarithmic_scale_says_its_standard_error() -> None:
    # 1.959964 is the 97.5% point of the normal distribution in any table.
    assert intervals.log_error(math.exp(-1.959964), math.exp(1.959964), 0.95) == pytest.approx(1.0, rel=1e-6)


def test_one_sided_bounds_lie_within_the_two_sided_interval() -> None:
    # 2.919986 is the 95% point of t with 2 degrees of freedom.
    found = intervals.log_t([math.exp(1), math.exp(2), math.exp(3)], intervals.ONE_SIDED)
    assert found is not None
    assert found.high == pytest.approx(math.exp(2 + 2.919986 / math.sqrt(3)), rel=1e-5)


def test_few_degrees_of_freedom_widen_and_many_do_not() -> None:
    assert intervals.t_over_normal(2) == pytest.approx(4.302653 / 1.959964, rel=1e-5)
    assert intervals.t_over_normal(1e9) == pytest.approx(1.0, rel=1e-6)

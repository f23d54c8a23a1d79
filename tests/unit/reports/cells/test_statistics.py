"""Intervals and gates, against numbers worked out apart."""

from __future__ import annotations

import math

import pytest

from reports.cells import statistics
from reports.cells.statistics import Interval


def test_the_interval_is_students_on_the_logs() -> None:
    # logs 1, 2, 3: mean 2, standard deviation 1, t(0.975; 2) = 4.302653, half width 4.302653 / sqrt(3) = 2.484138
    interval = statistics.log_t_interval([math.exp(1), math.exp(2), math.exp(3)])
    assert interval is not None
    assert (interval.n, interval.mean) == (3, pytest.approx(math.exp(2)))
    assert interval.low == pytest.approx(math.exp(2 - 2.484138), rel=1e-5)
    assert interval.high == pytest.approx(math.exp(2 + 2.484138), rel=1e-5)


def test_the_mean_is_geometric() -> None:
    interval = statistics.log_t_interval([10_000, 40_000])
    assert interval is not None
    assert interval.mean == pytest.approx(20_000)


def test_one_repeat_has_no_interval() -> None:
    assert statistics.log_t_interval([123.0]) == Interval(1, pytest.approx(123.0), None, None)


@pytest.mark.parametrize("values", [[], [5.0, 0.0], [-1.0]])
def test_without_logarithms_there_is_none(values: list[float]) -> None:
    assert statistics.log_t_interval(values) is None


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
    assert (share <= statistics.largest_share(requests)) is expected


def test_intervals_overlap_where_they_share_a_value() -> None:
    assert Interval(3, 10, 9, 11).overlaps(Interval(3, 12, 11, 13))
    assert not Interval(3, 10, 9, 11).overlaps(Interval(3, 13, 12, 14))
    assert Interval(3, 10, 9, 11).overlaps(Interval(1, 100))

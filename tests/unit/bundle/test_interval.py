"""Intervals, as bundles hold them."""

from __future__ import annotations

from bundle.interval import Interval


def test_intervals_overlap_where_they_share_a_value() -> None:
    assert Interval(3, 10, 9, 11).overlaps(Interval(3, 12, 11, 13))
    assert not Interval(3, 10, 9, 11).overlaps(Interval(3, 13, 12, 14))
    assert Interval(3, 10, 9, 11).overlaps(Interval(1, 100))

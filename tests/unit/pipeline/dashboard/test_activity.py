"""What the page shows of the aggregates: rates on a time axis, windows, percentiles."""

from __future__ import annotations

import random

import pytest

from pipeline.dashboard import latencies
from pipeline.dashboard.activity import activity_of
from pipeline.dashboard.aggregate import DAY, MINUTE, Aggregate, start_of
from pipeline.dashboard.rows import parts_of
from pipeline.dashboard.tally import FunnelCondition, Tallies
from pipeline.dashboard.view import Activity, Latency
from tests.unit.pipeline.dashboard.records import MINUTE_MS, NOON_MS, Record, event

NO_LATENCY = Latency(latencies.percentiles(latencies.empty()), [], 0, 0.0, 0)


def shown(records: list[Record], now_ms: int, funnel: tuple[str, ...] = ("page_view",)) -> Activity:
    """As if ``records`` had been counted, and the page asked at ``now_ms``."""
    tallies = Tallies([FunnelCondition.parse(each) for each in funnel])
    minutes: dict[int, Aggregate] = {}
    day = Aggregate(DAY, start_of(DAY, NOON_MS))
    for part in parts_of("p", sorted(records, key=lambda each: each.offset)):
        minute = minutes.get(part.minute_ms) or Aggregate(MINUTE, part.minute_ms)
        minutes[part.minute_ms] = minute.with_parts([part], tallies) or minute
        day = day.with_parts([part], tallies) or day
    return activity_of(now_ms, [minutes[each] for each in sorted(minutes)], [day], NO_LATENCY, funnel)


def test_rates_are_events_a_second_of_whole_steps() -> None:
    records = [event(each, at_ms=NOON_MS + each * 100) for each in range(600)]  # ten a second for a minute
    found = shown(records, NOON_MS + MINUTE_MS + 5_000)
    (series,) = found.recent.series
    assert series.per_s[-6:] == [10.0] * 6
    assert sum(series.per_s[:-6]) == 0
    assert found.recent.start_ms + len(series.per_s) * found.recent.step_ms == NOON_MS + MINUTE_MS
    assert found.hour.series[0].per_s[-1] == 10.0
    assert len(found.hour.series[0].per_s) == 60


def test_a_step_that_has_just_ended_is_not_shown_yet() -> None:
    now_ms = NOON_MS + MINUTE_MS + 2_000  # its last events may not be counted
    assert shown([event(0, at_ms=NOON_MS + 55_000)], now_ms).recent.series == []


def test_types_stand_in_the_order_of_their_number() -> None:
    records = [event(each, kind="b" if each < 9 else "a") for each in range(12)]
    assert [each.name for each in shown(records, NOON_MS + 30_000).recent.series] == ["b", "a"]


def test_active_now_are_the_users_of_five_minutes() -> None:
    records = [event(0, "old", at_ms=NOON_MS), event(1, "new", at_ms=NOON_MS + 6 * MINUTE_MS)]
    found = shown(records, NOON_MS + 6 * MINUTE_MS)
    assert (found.users_now, found.users_today, found.events_last_minute) == (1, 2, 0)


@pytest.mark.parametrize(("minutes_ago", "users"), [(0, 1), (4, 1), (5, 0)])
def test_active_now_are_those_of_this_minute_and_of_the_four_before(minutes_ago: int, users: int) -> None:
    now_ms = NOON_MS + 10 * MINUTE_MS + 30_000
    assert shown([event(0, at_ms=now_ms - minutes_ago * MINUTE_MS)], now_ms).users_now == users


def test_no_more_users_are_active_now_than_today() -> None:
    chosen = random.Random(2)  # noqa: S311  a test's; of these users, five minutes' estimate is the higher one
    records = [event(each, str(chosen.random())) for each in range(5_000)]
    found = shown(records, NOON_MS + 30_000)
    assert found.users_now == found.users_today


def test_a_step_of_the_funnel_that_nobody_did_is_shown_with_nobody() -> None:
    found = shown([event(0)], NOON_MS, ("page_view", "signup"))
    assert [(each.step, each.users) for each in found.funnel] == [("page_view", 1), ("signup", 0)]


def test_nothing_counted_is_shown_as_nothing() -> None:
    found = shown([], NOON_MS)
    assert (found.users_now, found.users_today, found.today.events, found.counted_until_ms) == (0, 0, 0, 0)
    assert found.recent.series == found.hour.series == []


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_percentile_is_never_too_low_and_at_most_a_fifth_too_high(share: float) -> None:
    chosen = random.Random(2)  # noqa: S311  a test's
    samples = sorted(chosen.lognormvariate(4, 1) + 1 for _ in range(1_000))
    buckets = latencies.empty()
    for each in samples:
        latencies.add(buckets, each)
    true = samples[int(share * 1_000) - 1]
    found = {0.5: "p50_ms", 0.9: "p90_ms", 0.99: "p99_ms"}[share]
    assert true <= getattr(latencies.percentiles(buckets), found) <= 1.21 * true


def test_a_percentile_is_the_smallest_bound_that_its_share_does_not_exceed() -> None:
    buckets = latencies.empty()
    for latency_ms in (1, 1, 1_000, 1_000):
        latencies.add(buckets, latency_ms)
    found = latencies.percentiles(buckets)
    assert found.p50_ms == 1
    assert found.p90_ms is not None
    assert found.p90_ms >= 1_000


def test_latencies_of_several_processes_add_up_and_those_of_another_form_are_left_out() -> None:
    one, other = latencies.empty(), latencies.empty()
    latencies.add(one, 5)
    latencies.add(other, 1e9)  # beyond the last bound
    latencies.add(other, -3)  # two clocks
    assert latencies.percentiles(latencies.summed([one, other, [1, 2]])).samples == 3


def test_without_a_sample_there_is_no_percentile() -> None:
    assert latencies.percentiles(latencies.empty()).p99_ms is None

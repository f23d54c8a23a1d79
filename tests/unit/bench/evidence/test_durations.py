"""Durations, percentiles and histograms derived from stamps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence import durations, histogram
from bench.evidence.deliveries import DELIVERY, Deliveries
from bench.evidence.offered import ROW, Offered
from bench.observe.sampling import ClockSamples
from traffic import identity
from traffic.ledger import Outcome

MS = 1_000_000
EPOCH_NS = 5_000 * MS
WALL_BEHIND_MONOTONIC_NS = 1_700_000_000_000 * MS


def clock(*offsets_ns: int) -> ClockSamples:
    at = np.arange(len(offsets_ns), dtype=np.int64) * 1_000 * MS
    return ClockSamples(at, np.array(offsets_ns, dtype=np.int64) + WALL_BEHIND_MONOTONIC_NS)


def offered(*requests: tuple[int, int, int, int, Outcome]) -> Offered:
    """Requests as (events, intended ms, sent ms, answered ms, outcome), of run 0 and stream 0."""
    rows = np.zeros(len(requests), dtype=ROW)
    first = 0
    for row, (count, intended, sent, answered, outcome) in zip(rows, requests, strict=True):
        row["first"], row["count"], row["outcome"] = first, count, outcome
        row["intended"], row["sent"], row["answered"] = intended * MS, sent * MS, answered * MS
        first += count
    base, counts = np.full(4096, -1, dtype=np.int64), np.zeros(4096, dtype=np.int64)
    base[0], counts[0] = 0, first
    of_event = np.repeat(np.arange(len(rows), dtype=np.int32), rows["count"])
    return Offered(0, EPOCH_NS, 0, rows, (0,), base, counts, of_event, complete=True)


def delivered(*events: tuple[int, int, int, int]) -> Deliveries:
    """Deliveries as (sequence, record timestamp, fetched, acknowledged), ms from the epoch."""
    rows = np.zeros(len(events), dtype=DELIVERY)
    for row, (sequence, received, fetched, acknowledged) in zip(rows, events, strict=True):
        row["id_low"] = identity.id_low(identity.pack(0, 0, sequence))
        row["record_timestamp_ms"] = received + (EPOCH_NS + WALL_BEHIND_MONOTONIC_NS) // MS
        row["fetched_ns"], row["acknowledged_ns"] = EPOCH_NS + fetched * MS, EPOCH_NS + acknowledged * MS
    return Deliveries(rows, ())


def of_events(of: Offered, deliveries: Deliveries, moments: ClockSamples, end_ns: int) -> durations.EventDurations:
    return durations.of_events(of, durations.first_deliveries(of, deliveries), moments, 0, end_ns)


def test_response_time_counts_from_the_intended_send_and_service_time_from_the_actual() -> None:
    found = durations.of_requests(offered((1, 10, 14, 20, Outcome.ACCEPTED)), 0, 100 * MS)
    assert found.schedule_delay.tolist() == [4 * MS]
    assert found.response_time.tolist() == [10 * MS]
    assert found.service_time.tolist() == [6 * MS]


def test_a_request_refused_in_part_is_one_request() -> None:
    rows = [(3, 10, 14, 20, Outcome.ACCEPTED), (1, 10, 14, 20, Outcome.REJECTED), (2, 10, 14, 20, Outcome.ACCEPTED)]
    assert len(durations.of_requests(offered(*rows), 0, 100 * MS).response_time) == 1


def test_only_requests_intended_in_the_window_count() -> None:
    rows = [(1, at, at, at + 5, Outcome.ACCEPTED) for at in (5, 10, 19, 20)]
    found = durations.of_requests(offered(*rows), 10 * MS, 20 * MS)
    assert found.intended.tolist() == [10 * MS, 19 * MS]


@given(
    st.lists(st.tuples(*[st.integers(0, 500)] * 4), min_size=1, max_size=30),
    st.lists(st.integers(-5_000_000, 5_000_000), min_size=2, max_size=9),
)
def test_the_stages_add_up_to_the_delivery_latency_event_by_event(steps: list, drifts: list[int]) -> None:
    requests, events = [], []
    for sequence, (delay, http, kafka, write) in enumerate(steps):
        sent = 100 + delay
        requests.append((1, 100, sent, sent + http, Outcome.ACCEPTED))
        events.append((sequence, sent + http, sent + http + kafka, sent + http + kafka + write))
    found = of_events(offered(*requests), delivered(*events), clock(*drifts), 1_000 * MS)
    assert len(found.delivery_latency) == len(steps)
    assert (sum(found.stages.values()) == found.delivery_latency).all()


def test_of_two_deliveries_the_first_acknowledgement_counts() -> None:
    twice = delivered((0, 20, 30, 90), (0, 20, 30, 40))
    found = of_events(offered((1, 10, 14, 20, Outcome.ACCEPTED)), twice, clock(0, 0), 100 * MS)
    assert found.delivery_latency.tolist() == [30 * MS]


def test_the_record_timestamp_is_placed_by_the_clock_offset_of_its_moment() -> None:
    moments = clock(0, 0, 4 * MS)  # the wall clock gains 4 ms between second 1 and second 2
    wall = np.array([WALL_BEHIND_MONOTONIC_NS + 500 * MS, WALL_BEHIND_MONOTONIC_NS + 2_004 * MS], dtype=np.int64)
    assert moments.to_monotonic(wall).tolist() == [500 * MS, 2_000 * MS]
    assert moments.drift_max_ms_per_s() == 4.0


def test_no_cohort_is_built_around_a_percentile_with_too_few_requests() -> None:
    requests = [(1, index, index, index + 1, Outcome.ACCEPTED) for index in range(150)]
    events = [(index, index, index + 2, 2 * index + 40) for index in range(150)]
    cohorts = durations.cohorts(of_events(offered(*requests), delivered(*events), clock(0, 0), 10**12))
    assert [each.name for each in cohorts] == ["p50", "p90"]


def test_there_is_a_cohort_around_p95() -> None:
    requests = [(1, index, index, index + 1, Outcome.ACCEPTED) for index in range(300)]
    events = [(index, index, index + 2, 2 * index + 40) for index in range(300)]
    cohorts = durations.cohorts(of_events(offered(*requests), delivered(*events), clock(0, 0), 10**12))
    assert [each.name for each in cohorts] == ["p50", "p90", "p95"]


def test_a_percentile_needs_ten_requests_beyond_it() -> None:
    values = np.arange(1, 1_001, dtype=np.int64) * MS
    found = durations.percentiles(values)
    assert found.requests_beyond == {"p50": 499, "p90": 99, "p95": 49, "p99": 9, "p999": 0}
    assert (found.p90, found.p95) == (901.0, 951.0)
    assert found.p99 is None


def test_events_of_one_request_are_one_sample() -> None:
    values = np.arange(1, 1_001, dtype=np.int64) * MS
    found = durations.percentiles(values, requests=np.arange(1_000) // 100)
    assert found.requests_beyond["p50"] == 5
    assert found.p50 is None


@given(st.lists(st.integers(0, 3_600_000_000_000), min_size=1, max_size=200))
def test_a_histogram_binned_at_once_is_the_one_recorded_value_by_value(values: list[int]) -> None:
    binned = histogram.histogram(np.array(values, dtype=np.int64))
    recorded = HdrHistogram(1, histogram.HIGHEST_US, histogram.SIGNIFICANT_DIGITS)
    for value in values:
        recorded.record_value(value // 1_000)
    assert binned.get_total_count() == recorded.get_total_count()
    for percentile in (0, 10, 50, 90, 99, 100):
        assert binned.get_value_at_percentile(percentile) == recorded.get_value_at_percentile(percentile)


def test_an_interval_log_has_a_line_a_second_and_tag_with_its_true_maximum(tmp_path: Path) -> None:
    at = np.array([100, 200, 1_500], dtype=np.int64) * MS
    took = np.array([1, 7, 3], dtype=np.int64) * MS
    histogram.write_log(tmp_path / "x.hlog", 10**18, {"write": histogram.TimedDurations(at, took)})
    lines = (tmp_path / "x.hlog").read_text().splitlines()
    tagged = [line.split(",") for line in lines if line.startswith("Tag=")]
    assert [line[:3] for line in tagged] == [["Tag=write", "0.000", "1.000"], ["Tag=write", "1.000", "1.000"]]
    assert [7.0 <= float(tagged[0][3]) <= 7.01, 3.0 <= float(tagged[1][3]) <= 3.01] == [True, True]
    assert HdrHistogram.decode(tagged[0][4]).get_total_count() == 2


def test_values_below_zero_are_noted_in_a_comment_of_the_log(tmp_path: Path) -> None:
    at, took = np.array([0, 0], dtype=np.int64), np.array([-500_000, MS], dtype=np.int64)
    histogram.write_log(tmp_path / "x.hlog", 10**18, {"http_and_api": histogram.TimedDurations(at, took)})
    assert "#[http_and_api: 1 values below zero are counted as 0]" in (tmp_path / "x.hlog").read_text()

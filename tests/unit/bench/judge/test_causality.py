"""A clock that jumps by 500 ms in one role, forwards or backwards, is noticed, and the role is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.evidence import durations
from bench.evidence.evidence import Evidence, Happened
from bench.judge import causality, derive
from bundle.result import Result
from tests.unit.bench.judge.stamps import MS, WITNESS, S, evidence_of

STEADY = CellSpec(id="steady-p1-c1", kind="steady", warmup_s=1, duration_s=5, offered_load=100.0)


def judged(evidence: Evidence, crashes: tuple[str, ...] = ()) -> Result:
    identity = derive.RepeatIdentity(STEADY, 1, 1, 3, "2026-11-22T10:00:00Z", 100.0)
    happened = Happened(crashes=crashes, generator_exit_code=0, drained=True, duration_s={"drain": 0.5})
    return derive.result_of(identity, evidence, happened, Bounds(), Objective())


def test_clocks_that_are_right_break_no_order_and_the_witness_agrees() -> None:
    result = judged(evidence_of())
    assert (result.valid, result.reasons, result.negative_durations) == (True, (), {})
    assert result.witness is not None
    assert (result.witness.events, result.witness.disagreeing, result.witness.beyond_max_ms) == (20, 0, 0.0)


@pytest.mark.parametrize(
    ("role", "ahead_ms", "broken", "said"),
    [
        ("generator", 500, {"http_and_api"}, "the generator's clock is ahead"),
        ("generator", -500, {"record_to_answer"}, "the generator's clock is behind"),
        ("api", 500, {"record_to_answer", "kafka_and_backlog"}, "the API's clock is ahead"),
        ("api", -500, {"http_and_api"}, "the API's clock is behind"),
        ("worker", 500, {"fetched_to_seen"}, "the worker's clock, or its log, is ahead"),
        (
            "worker",
            -500,
            {"kafka_and_backlog", "missed_to_acknowledged", "delivery_latency"},
            "the worker's clock, or its log, is behind",
        ),
        ("witness", 500, {"http_and_api", "missed_to_acknowledged"}, "the witness's clock is ahead"),
        ("witness", -500, {"record_to_answer", "fetched_to_seen"}, "the witness's clock is behind"),
        ("harness", 500, {"http_and_api"}, "the machine's clock was set, or the harness's is wrong"),
        ("harness", -500, {"record_to_answer"}, "the machine's clock was set, or the harness's is wrong"),
    ],
)
def test_a_jump_of_one_role_s_clock_is_noticed_and_the_role_is_named(
    role: str, ahead_ms: float, broken: set[str], said: str
) -> None:
    result = judged(evidence_of(**{role: ahead_ms}))
    assert not result.valid
    assert broken <= result.negative_durations.keys()
    clocks = [reason for reason in result.reasons if reason.startswith("clocks: ")]
    assert clocks
    assert all(said in reason for reason in clocks if "drifted" not in reason), clocks


def test_a_jump_of_the_harness_s_clock_is_reported_first_as_a_drift() -> None:
    reasons = [each for each in judged(evidence_of(harness=500)).reasons if each.startswith("clocks")]
    assert "drifted 500.00 ms in a second" in reasons[0]


def test_a_shifted_worker_clock_that_breaks_no_order_is_found_by_the_witness() -> None:
    """A worker ahead makes every delivery latency too long, and breaks no order among the load's own stamps."""
    evidence = evidence_of(worker=500)
    result = judged(evidence)
    assert set(result.negative_durations) == {"fetched_to_seen"}
    assert result.witness is not None
    assert result.witness.disagreeing > 0
    assert 480 < result.witness.beyond_max_ms < 500
    read, late = result.reasons
    assert read.startswith(f"clocks: {result.negative_durations['fetched_to_seen']} of the witness's events were read")
    assert late.startswith("witness: half of 20 events were read")
    unwitnessed = replace(evidence, witness=None, scheduled=len(evidence.offered.rows))
    assert judged(replace(unwitnessed, documents=_of_load(evidence))).valid


def test_an_event_stored_by_a_worker_that_died_before_logging_it_is_no_clock_error() -> None:
    crash = ("crash: worker-1 ended with exit code -9, see logs/worker-1.log",)
    read_again = evidence_of()
    late = read_again.deliveries.rows[-WITNESS + 8 : -WITNESS + 10]  # two of the witness's, which another worker wrote
    late["fetched_ns"] += 3 * S
    late["acknowledged_ns"] += 3 * S
    assert "fetched_to_seen" in judged(read_again).negative_durations
    result = judged(read_again, crash)
    assert (result.valid, result.reasons) == (True, ())
    assert result.witness is not None
    assert (result.witness.events, result.witness.disagreeing) == (18, 0)
    assert "fetched_to_seen" in judged(evidence_of(worker=500), crash).negative_durations


def test_a_record_timestamp_may_be_a_millisecond_off_and_no_more() -> None:
    assert judged(evidence_of(api=2.5)).valid  # received 2 ms after it was sent, answered 3 ms later
    assert not judged(evidence_of(api=5.5)).valid


def test_every_order_is_checked_outside_the_window_too() -> None:
    evidence = evidence_of()
    evidence.deliveries.rows["acknowledged_ns"][0] = 5 * MS  # before it was fetched, within the warm-up
    result = judged(evidence)
    assert result.negative_durations == {"write": 1}


def test_stages_that_do_not_add_up_are_counted() -> None:
    evidence = evidence_of()
    events = durations.of_events(evidence.offered, evidence.first_deliveries, evidence.clock, 0, 10 * S)
    assert durations.mismatches(events) == 0
    events.stages["write"][7] += 1
    assert durations.mismatches(events) == 1


def test_the_lowest_value_of_each_order_is_kept_for_the_bounds() -> None:
    evidence = evidence_of()
    clocks = causality.check(evidence.audited, causality.stamps(evidence), Bounds())
    assert clocks.lowest_ns["schedule_delay"] == MS
    assert clocks.lowest_ns["http_and_api"] == 2 * MS
    measured = judged(evidence).bounds_measured
    assert measured == {
        "schedule_delay_p99_ms": 1.0,
        "generator_cpu_share": 0.0,
        "unsent": 0.0,
        "clock_drift_ms_per_s": 0.0,
        "drain_timeout_s": 0.5,
        "negative_duration_ms": 0.0,
        "witness_tolerance_ms": 0.0,
        "disturbed_share": 0.0,
        "compare_share": 1.0,
    }


def _of_load(evidence: Evidence):
    events = len(evidence.offered.rows)
    return replace(evidence.documents, count_per_event=np.ones(events, dtype=np.int64), total=events)

"""From evidence to result: each bound of validity is held, each finding is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench import kinds
from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.evidence import deliveries, documents
from bench.evidence.deliveries import DELIVERY, Deliveries, consumer
from bench.evidence.documents import Documents
from bench.evidence.evidence import Backlog, Evidence, Happened
from bench.evidence.leftovers import Leftovers
from bench.evidence.offered import ROW, Offered
from bench.judge import derive
from bench.judge.derive import RepeatIdentity
from bench.kinds.drain import DrainCell
from bench.observe.processes import Usage
from bench.observe.sampling import ROLES, ClockSamples, Machine, Sample
from bundle.reported import Report
from bundle.result import Result
from tests.unit.identities import id_low_array
from traffic.ledger import Outcome

MS, S = 1_000_000, 1_000_000_000
STEADY = CellSpec(id="steady-p1-c1", kind="steady", warmup_s=1, duration_s=4, offered_load=100.0)
DRAIN = DrainCell(id="drain-p1-c2", consumers=2, events=100)
NONE = np.zeros(0, dtype=np.uint64)
FEW = Documents(np.ones(500, dtype=np.int64), 500, 0, 490, 0, ())
FINE = Happened(crashes=(), generator_exit_code=0, drained=True, duration_s={})


def evidence_of(
    sent_late_ms: float = 1.0, outcome: Outcome = Outcome.ACCEPTED, generator_cores: float = 0.2
) -> Evidence:
    """500 single events over 5 s, one each 10 ms; answered 5 ms, stored 20 ms after they were sent."""
    rows = np.zeros(500, dtype=ROW)
    rows["first"], rows["count"], rows["outcome"] = np.arange(500), 1, Outcome.ACCEPTED
    rows["outcome"][499] = outcome
    rows["intended"] = np.arange(500) * 10 * MS
    rows["sent"] = rows["intended"] + round(sent_late_ms * MS)
    rows["answered"] = rows["sent"] + 5 * MS
    base, counts = np.full(4096, -1, dtype=np.int64), np.zeros(4096, dtype=np.int64)
    base[0], counts[0] = 0, 500
    offered = Offered(3, 0, 0, rows, (0,), base, counts, np.arange(500, dtype=np.int32), complete=True)
    delivered = np.zeros(500, dtype=DELIVERY)
    delivered["id_low"] = id_low_array(3, 0, 0, 500)
    delivered["record_timestamp_ms"] = rows["sent"] // MS + 2
    delivered["fetched_ns"], delivered["acknowledged_ns"] = rows["sent"] + 10 * MS, rows["sent"] + 20 * MS
    return Evidence(
        offered=offered,
        scheduled=500,
        deliveries=Deliveries(delivered, (consumer("worker-1", {"events_page_view": (0,)}, 500),)),
        documents=Documents(np.ones(500, dtype=np.int64), 500, 0, 500, 0, ()),
        leftovers=Leftovers(NONE, NONE),
        clock=clock(),
        samples=samples(generator_cores),
        backlog=Backlog(np.array([0], dtype=np.int64), np.array([0], dtype=np.int64)),
    )


def clock(jump_ms: float = 0.0) -> ClockSamples:
    offsets = np.array([0, 0, 0, round(jump_ms * MS), round(jump_ms * MS), round(jump_ms * MS), 0], dtype=np.int64)
    return ClockSamples(np.arange(7, dtype=np.int64) * S, offsets)


def samples(generator_cores: float, others_cores: float = 0.0) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            at_ns=second * S,
            clock_offset_ns=0,
            usage={role: Usage(cpu_user_s=second * 0.1, memory_bytes=second) for role in ROLES},
            process_cpu_s={"generator": {7: second * generator_cores}},
            machine=Machine(busy_s=second * (0.1 * len(ROLES) + others_cores), stolen_s=0.0),
        )
        for second in range(7)
    )


def judged(
    evidence: Evidence, cell: CellSpec = STEADY, happened: Happened = FINE, objective: Objective | None = None
) -> Result:
    identity = RepeatIdentity(cell, 1, 1, 3, "2026-11-22T10:00:00Z", 100.0)
    return derive.result_of(identity, evidence, happened, Bounds(), objective or Objective())


def test_a_correct_repeat_of_a_system_that_keeps_up_is_valid_without_findings() -> None:
    result = judged(evidence_of())
    assert (result.valid, result.reasons, result.findings) == (True, (), ())
    assert (result.requests, result.throughput_events_per_s) == (400, 100.0)
    assert result.response_time_ms is not None
    assert result.delivery_latency_ms is not None
    assert result.response_time_ms.p50 is None  # all alike: no request lies beyond
    assert (result.response_time_ms.max, result.delivery_latency_ms.max) == (6.0, 21.0)
    assert result.stages_ms is not None
    assert sum(stage.mean for stage in result.stages_ms.values()) == 21.0


@pytest.mark.parametrize(
    ("evidence", "happened", "reason"),
    [
        (evidence_of(sent_late_ms=10.5), FINE, "schedule delay p99 10.5 ms > 10 ms"),
        (evidence_of(generator_cores=0.81), FINE, "a process used 81% of a core"),
        (evidence_of(outcome=Outcome.UNSENT), FINE, "1 events unsent"),
        (replace(evidence_of(), clock=clock(jump_ms=1.5)), FINE, "drifted 1.50 ms in a second"),
        (replace(evidence_of(), scheduled=501), FINE, "schedule intends 501"),
        (evidence_of(sent_late_ms=-2), FINE, "sent before they were due (schedule_delay)"),
        (replace(evidence_of(), samples=samples(0.2, others_cores=0.7)), FINE, "machine: other programs used"),
        (replace(evidence_of(), documents=FEW), FINE, "490 of 500 documents were compared, 100% asked for"),
        (
            evidence_of(),
            replace(FINE, drained=False, duration_s={"drain": 61.2}),
            "backlog was not gone after 61 s, of at most 60 s",
        ),
        (evidence_of(), replace(FINE, generator_exit_code=3), "ended with exit code 3"),
    ],
)
def test_a_measurement_beyond_a_bound_of_validity_voids_the_repeat(
    evidence: Evidence, happened: Happened, reason: str
) -> None:
    result = judged(evidence, happened=happened)
    assert not result.valid
    assert any(reason in each for each in result.reasons), result.reasons


def test_a_steady_load_says_by_rule_9_whether_it_was_kept_up_with() -> None:
    longer = msgspec.structs.replace(STEADY, warmup_s=0, duration_s=6)  # the evidence ends after 5 s: nothing comes on
    kept_up = judged(evidence_of(), longer).keeping_up
    assert kept_up is not None
    assert (kept_up.verdict, kept_up.deficit_events_per_s) == ("sustained", pytest.approx(0.0, abs=1.0))
    assert judged(evidence_of()).keeping_up is None  # 4 s cannot be judged
    assert judged(evidence_of(), DRAIN).keeping_up is None


def test_a_repeat_void_by_a_late_generator_names_who_else_used_the_machine() -> None:
    evidence = replace(evidence_of(sent_late_ms=11), samples=samples(0.2, others_cores=0.2))
    (reason,) = judged(evidence).reasons
    assert "other programs used" in reason
    assert judged(evidence).disturbance is not None


@pytest.mark.parametrize(
    ("evidence", "happened", "finding"),
    [
        (evidence_of(outcome=Outcome.REJECTED), FINE, "1 events rejected of 500"),
        (evidence_of(outcome=Outcome.IN_DOUBT), FINE, "1 events in doubt"),
        (evidence_of(), replace(FINE, crashes=("crash: api ended with exit code -9",)), "crash: api"),
    ],
)
def test_what_the_system_did_is_a_finding_and_makes_nothing_void(
    evidence: Evidence, happened: Happened, finding: str
) -> None:
    result = judged(evidence, happened=happened)
    assert result.valid
    assert any(finding in each for each in result.findings), result.findings


def test_what_a_crashed_part_leaves_undrained_makes_no_repeat_void() -> None:
    crashed = replace(FINE, crashes=("crash: worker-1 ended with exit code -9",), drained=False)
    result = judged(evidence_of(), happened=replace(crashed, duration_s={"drain": 61.2}))
    assert (result.valid, result.findings) == (True, ("crash: worker-1 ended with exit code -9",))


def test_a_repeat_that_could_not_be_run_is_void_with_its_error_and_without_a_finding(tmp_path: Path) -> None:
    identity = RepeatIdentity(STEADY, 1, 1, 3, "2026-11-22T10:00:00Z", 100.0)
    result = derive.broken_down(identity, RuntimeError(f"see {tmp_path}/logs/api.log"), tmp_path)
    assert (result.valid, result.findings) == (False, ())
    assert result.reasons == ("the repeat broke down before it could be measured: RuntimeError: see logs/api.log",)


def test_an_objective_that_is_missed_or_cannot_be_shown_is_a_finding() -> None:
    spread = evidence_of()
    spread.offered.rows["answered"][::20] += 50 * MS  # 5% of the requests are 50 ms slower
    strict = Objective(response_time_p99_ms=20)
    assert any("too few requests for the p99" in each for each in judged(spread, objective=strict).findings)
    lasting = Objective(delivery_latency_p99_ms=20)
    assert any("too few" in each or "missed" in each for each in judged(spread, objective=lasting).findings)


def test_an_objective_is_met_where_not_one_of_many_requests_was_later() -> None:
    assert judged(evidence_of(), objective=Objective(delivery_latency_p99_ms=22)).findings == ()  # all take 21 ms
    few = msgspec.structs.replace(STEADY, duration_s=2)
    (finding,) = judged(evidence_of(), few, objective=Objective(delivery_latency_p99_ms=22)).findings
    assert "too few requests for the p99 of delivery latency" in finding


def test_a_drain_is_measured_from_the_end_of_warm_up_to_the_last_event() -> None:
    """Two consumers settle 10 events a batch, each 100 ms; the second has half as many and runs dry at 1.45 s."""
    first = evidence_of()
    rows = first.deliveries.rows[:150].copy()
    rows["consumer"] = np.repeat([0, 1], [100, 50])
    batches = np.concatenate([np.arange(100) // 10, np.arange(50) // 10])
    rows["acknowledged_ns"] = S + batches * 100 * MS + rows["consumer"].astype(np.int64) * 50 * MS
    window = kinds.named(DRAIN.kind).window(DRAIN, replace(first, deliveries=Deliveries(rows, ())))
    assert (window.start_s, window.end_s) == (1.15, 1.45)


def test_a_drain_with_nothing_left_after_its_warm_up_is_void() -> None:
    first = evidence_of()
    rows = first.deliveries.rows.copy()
    rows["acknowledged_ns"] = S
    result = judged(replace(first, deliveries=Deliveries(rows, ())), cell=DRAIN)
    assert any("preload more events" in each for each in result.reasons)


def test_what_a_system_does_not_report_is_left_out_and_named() -> None:
    silent = replace(evidence_of(), deliveries=deliveries.none(), reports=frozenset({"documents"}))
    asked = Objective(delivery_latency_p99_ms=100.0)
    result = judged(silent, objective=asked)
    assert (result.valid, result.reasons) == (True, ())
    assert result.not_reported == ("stamps", "backlog")
    assert result.findings == ("objective not shown: delivery latency is not reported by this system",)
    assert result.response_time_ms is not None
    assert (result.throughput_events_per_s, result.achieved, result.delivery_latency_ms) == (None, None, None)
    assert (result.stages_ms, result.cohorts, result.keeping_up, result.witness) == (None, (), None, None)
    assert (result.audit.stored_accepted, result.audit.lost) == (500, 0)


def test_without_documents_nothing_is_called_lost() -> None:
    silent = replace(evidence_of(), deliveries=deliveries.none(), reports=frozenset[Report]())
    blind = replace(silent, documents=documents.none(silent.audited))
    result = judged(blind)
    assert (result.valid, result.findings) == (True, ())
    assert (result.audit.accepted, result.audit.stored, result.audit.lost) == (500, 0, 0)
    assert result.not_reported == ("stamps", "backlog", "documents")

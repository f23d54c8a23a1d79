"""What breaks first above a held load: by which criterion, in which stage, on which resource; never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundle.reading import Repeat
from bundle.result import Audit, Cohort, Percentiles, Probe, Result, Sustained
from reports.answer import breaking
from reports.answer.breaking import Broke
from reports.cells.cells import Cell
from tests.unit.reports import made

LOAD, ALLOWED = 10_000.0, 200.0
FULL, IDLE = {"mongodb": 1.2, "worker": 0.7}, {"mongodb": 0.4, "worker": 0.2}
STAGES = {"schedule_delay": 1.0, "http_and_api": 9.0, "kafka_and_backlog": 1_150.0, "write": 40.0}
GREW = Sustained(900.0, 700.0, 1_100.0, ALLOWED, "not sustained", holds=False)
KEPT_UP = Sustained(10.0, 5.0, 20.0, ALLOWED, "sustained", holds=True)


def probe(cores: dict[str, float] = FULL, p99_ms: float = 500.0, why: tuple[str, ...] = (), **fields: Any) -> Result:
    judged = Probe("bisection", "not sustained", False, 10.0, 20.0, ALLOWED, why)
    whole: dict[str, Any] = {
        "offered_load_events_per_s": LOAD,
        "probe": judged,
        "keeping_up": KEPT_UP,
        "delivery_latency_ms": Percentiles(p50=p99_ms / 2, p99=p99_ms),
        "cohorts": (Cohort("p99", 1_200.0, STAGES),),
        "cpu_cores_per_role": cores,
        "audit": Audit(offered=100_000, accepted=100_000, stored=100_000, stored_accepted=100_000),
    }
    return made.result("capacity", **(whole | fields))


def broke(*beyond: Result, attempts: tuple[Result, ...] = (), high: float | None = 9_000.0) -> Broke:
    cell: Cell = made.capacity(
        (8_000.0, 7_500.0, high),
        beyond=tuple(Repeat(Path("nowhere"), each) for each in beyond),
        attempts=tuple(Repeat(Path("nowhere"), each) for each in (*beyond, *attempts)),
    )
    found = breaking.find(cell, 2)
    assert found is not None
    return found


def test_a_missed_objective_is_named_with_its_number_stage_and_resource() -> None:
    found = broke(probe(p99_ms=1_173.0))
    assert found.short == "delivery latency: the machine's CPU"
    for words in ("p99 delivery latency 1,173 ms of 1,000 allowed", "Kafka and backlog", "1.90 of 2 cores used"):
        assert words in found.because


def test_a_growing_backlog_alone_is_the_criterion() -> None:
    found = broke(probe(keeping_up=GREW))
    assert (found.criterion, found.resource) == ("backlog", "the machine's CPU")
    assert "900 events/s more accepted than stored, 200 allowed" in found.because


def test_refused_events_come_before_latency_and_both_are_in_the_evidence() -> None:
    refused = Audit(offered=100_000, accepted=99_000, rejected=1_000)
    found = broke(probe(p99_ms=2_000.0, why=("1,000 events rejected of 100,000 offered",), audit=refused))
    assert found.criterion == "refusals"
    assert "1,000 of 100,000 events refused" in found.because
    assert "2,000 ms of 1,000 allowed" in found.because


def test_a_finding_of_a_probe_comes_first() -> None:
    assert broke(probe(p99_ms=2_000.0, findings=("crash: api ended with exit code -9",))).criterion == "findings"


def test_a_process_at_its_limit_is_named() -> None:
    found = broke(probe({"api": 0.95, "mongodb": 0.3}, 2_000.0, busiest_process_cores_per_role={"api": 0.95}))
    assert found.short == "delivery latency: the API's core"


def test_where_nothing_watched_was_at_its_limit_the_cause_is_not_guessed() -> None:
    found = broke(probe(IDLE, 2_000.0))
    assert found.short == "delivery latency: cause not determined"
    assert "nothing that was watched was at its limit" in found.because


def test_where_no_criterion_stands_out_it_is_not_determined() -> None:
    assert broke(probe()).short == "not determined"


def test_void_probes_above_the_answer_decide_nothing() -> None:
    found = broke(attempts=(probe(p99_ms=2_000.0, valid=False, reasons=("generator: late",)),))
    assert found.short == "not determined"
    assert "1 probe above 8,000 events/s is void" in found.because


def test_where_no_higher_load_was_offered_nothing_broke() -> None:
    assert broke(high=None).short == "nothing"


def test_a_search_that_has_not_ended_has_no_answer() -> None:
    assert breaking.find(made.drain([100.0]), 2) is None

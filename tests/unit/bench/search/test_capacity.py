"""A search as part of a run: its next probe and its answer follow from the cell's results alone."""

from __future__ import annotations

import msgspec
import pytest

from bench.attempts import MAX_ATTEMPTS
from bench.cells.objective import Objective
from bench.kinds.capacity import CapacityCell
from bench.search import capacity
from bench.search.capacity import NextProbe, SearchRequest
from bench.search.search import SearchAnswer
from bundle.result import Audit, Percentiles, Probe, Result

CELL = CapacityCell(id="capacity-p1-c1", max_probes=12)
ASKED = SearchRequest(CELL, 4_000.0)
TRUTH = 20_000.0


def result_of(
    number: int,
    load: float,
    step: str = "climb",
    attempt: int = 1,
    *,
    valid: bool = True,
    reasons: list[str] | None = None,
) -> Result:
    """A probe of a system that sustains up to ``TRUTH``, whose delivery latency rises there."""
    fine = load <= TRUTH
    return Result(
        cell=CELL.id,
        kind="capacity",
        axes={},
        round=number,
        attempt=attempt,
        run_number=number,
        started_at="",
        valid=valid,
        reasons=[] if valid else reasons or ["generator: schedule delay p99 20.0 ms > 10 ms"],
        findings=[],
        offered_load_events_per_s=load,
        delivery_latency_ms=Percentiles(p50=10.0, p99=20.0 if fine else 5_000.0),
        probe=Probe(step, "sustained" if fine else "not sustained", fine, 0.0, 0.0, 1.0, []),
    )


def searched(limit: float = 1e9) -> tuple[list[Result], SearchAnswer]:
    """Carry a search through; above ``limit`` every attempt is void."""
    results: list[Result] = []
    for _ in range(100):
        step = capacity.next_step(ASKED, results)
        if isinstance(step, SearchAnswer):
            return results, step
        tried = sum(each.round == step.number for each in results)
        valid = step.load_events_per_s <= limit
        results.append(result_of(step.number, step.load_events_per_s, step.step, tried + 1, valid=valid))
    pytest.fail("the search did not end")


def test_a_search_begins_at_the_given_load() -> None:
    assert capacity.next_step(ASKED, []) == NextProbe(1, 4_000.0, "climb")


def test_a_search_finds_what_is_sustained_within_its_probes_and_concludes() -> None:
    results, answer = searched()
    assert len({each.round for each in results}) <= CELL.max_probes
    found = capacity.conclude(CELL, Objective(delivery_latency_p99_ms=1_000), answer, results)
    assert found.confirmed
    assert found.sustainable_events_per_s is not None
    assert 0.9 * TRUTH <= found.sustainable_events_per_s <= TRUTH
    assert found.low_events_per_s is not None
    assert found.low_events_per_s <= TRUTH
    assert found.objective == "p99 delivery latency <= 1000 ms, at most 0.0% rejected"


def test_a_void_probe_is_tried_again_at_the_same_load_and_then_taken_as_void() -> None:
    first = [result_of(1, 4_000.0)]
    second = capacity.next_step(ASKED, first)
    assert isinstance(second, NextProbe)
    voids: list[Result] = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        again = capacity.next_step(ASKED, [*first, *voids])
        assert again == NextProbe(2, second.load_events_per_s, "climb")
        voids.append(result_of(2, second.load_events_per_s, attempt=attempt, valid=False))
    third = capacity.next_step(ASKED, [*first, *voids])
    assert isinstance(third, NextProbe)
    assert (third.number, third.load_events_per_s < second.load_events_per_s) == (3, True)


def test_an_answer_above_the_generator_s_limit_has_no_upper_end() -> None:
    _, answer = searched(limit=9_000.0)
    assert answer.sustainable_events_per_s is not None
    assert answer.sustainable_events_per_s <= 9_000.0
    assert answer.high_events_per_s is None
    assert "generator" in answer.ended


def test_the_same_results_in_any_order_give_the_same_step() -> None:
    results, _ = searched()
    part = results[:5]
    assert capacity.next_step(ASKED, part) == capacity.next_step(ASKED, part[::-1])


def test_a_probe_that_something_else_disturbed_comes_again_and_is_no_limit_of_the_generator() -> None:
    busy = ["generator: schedule delay p99 20.0 ms > 10 ms", "machine: other programs used 49% of its CPU"]
    disturbed = [result_of(1, 4_000.0, attempt=n, valid=False, reasons=busy) for n in range(1, MAX_ATTEMPTS + 1)]
    assert capacity.next_step(ASKED, disturbed) == NextProbe(2, 4_000.0, "climb")
    always = [
        result_of(number, 4_000.0, attempt=attempt, valid=False, reasons=busy)
        for number in range(1, CELL.max_probes + 1)
        for attempt in range(1, MAX_ATTEMPTS + 1)
    ]
    answer = capacity.next_step(ASKED, always)
    assert isinstance(answer, SearchAnswer)
    assert (answer.sustainable_events_per_s, answer.high_events_per_s) == (None, None)


def test_a_late_generator_does_not_excuse_a_system_that_refuses_events() -> None:
    late = result_of(1, 90_000.0, valid=False)
    refused = msgspec.structs.replace(late, audit=Audit(offered=100, accepted=90, rejected=10))
    step = capacity.next_step(SearchRequest(CELL, 90_000.0), [refused])
    assert isinstance(step, NextProbe)
    assert (step.number, step.load_events_per_s < 90_000.0) == (2, True)
    assert capacity.next_step(SearchRequest(CELL, 90_000.0), [late]) == NextProbe(1, 90_000.0, "climb")


def test_a_load_whose_backlog_is_not_gone_in_time_is_not_sustained_and_does_not_come_again() -> None:
    reasons = ["drain: the backlog was not gone after 60 s, of at most 60 s"]
    first = result_of(1, 4_000.0, "climb", 1, valid=False, reasons=reasons)
    step = capacity.next_step(ASKED, [first])
    assert isinstance(step, NextProbe)
    assert (step.number, step.load_events_per_s < 4_000.0) == (2, True)

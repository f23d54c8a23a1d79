"""The self-test's own parts: stalls of queues whose answer is known, and cases that leave no detector out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bench.judge.detectors import Detector
from bench.selftest import cases, checks, reporting, stalls
from bench.selftest.stalls import DocumentCounts, Stall
from tests.unit.reports.made_bundle import Cell, Plan, write

OFFERED, BASE_S, LIMIT_S = 2_000.0, 0.03, 0.5
STALL = Stall(4.0, 5.0)
WINDOW = (1.0, 10.0)
DUE_S = (np.arange(20_000) + 0.5) / OFFERED


def queue(stored_per_s: float) -> np.ndarray:
    """When each event is stored: after ``BASE_S``, one behind the other, nothing while the part stands still."""
    moments, free_s = np.empty_like(DUE_S), 0.0
    for at, due_s in enumerate(DUE_S):
        start_s = max(due_s + BASE_S, free_s)
        if STALL.start_s <= start_s < STALL.end_s:
            start_s = STALL.end_s
        moments[at] = free_s = start_s + 1 / stored_per_s
    return moments


def counted(moments_s: np.ndarray) -> DocumentCounts:
    at_s = np.arange(0.0, 12.0, 0.01)
    return DocumentCounts(at_s, np.searchsorted(np.sort(moments_s), at_s, side="right"))


@pytest.mark.parametrize("stored_per_s", [4_000.0, 8_000.0, 40_000.0])
def test_the_fluid_queue_follows_from_the_curves(stored_per_s: float) -> None:
    moments = queue(stored_per_s)
    found = stalls.expected(STALL, DUE_S, counted(moments), WINDOW, LIMIT_S)
    rho = OFFERED / stored_per_s
    assert found.late_low == pytest.approx(OFFERED * (1.0 + BASE_S - LIMIT_S) / (1 - rho), rel=0.02)
    assert found.late_low == pytest.approx((moments - DUE_S > LIMIT_S).sum(), rel=0.01)
    assert found.catch_up_s == pytest.approx(1.0 * rho / (1 - rho), abs=0.05)
    assert found.stored_per_s == pytest.approx(stored_per_s, rel=0.25)
    assert found.offered_per_s == pytest.approx(OFFERED)


def test_events_that_let_all_later_ones_go_first_are_the_upper_bound() -> None:
    stored_per_s, rho = 8_000.0, 0.25
    moments = DUE_S + BASE_S
    waiting = (moments >= STALL.start_s) & (STALL.end_s > DUE_S)
    moments[waiting] = STALL.end_s + (np.arange(waiting.sum()) + 1) / (stored_per_s - OFFERED)
    found = stalls.expected(STALL, DUE_S, counted(moments), WINDOW, LIMIT_S)
    late = int((moments - DUE_S > LIMIT_S).sum())
    assert found.late_high == pytest.approx(late, rel=0.02)
    assert found.late_high == pytest.approx(OFFERED * (0.5 + BASE_S) * (1 - rho) / (1 - 2 * rho), rel=0.05)
    assert found.late_low < 0.95 * late


def test_without_a_stall_nothing_is_late() -> None:
    found = stalls.expected(STALL, DUE_S, counted(DUE_S + BASE_S), WINDOW, LIMIT_S)
    assert (found.late_low, found.late_high) == (0, 0)


def test_an_event_that_was_never_counted_waits_for_ever() -> None:
    moments = stalls.stored_at(DocumentCounts(np.array([0.0, 1.0, 2.0]), np.array([0, 2, 2])), 3)
    assert moments.tolist() == [0.5, 1.0, np.inf]


class TestCases:
    def test_every_detector_has_a_check_whose_twin_is_without_it(self) -> None:
        checks = [check for case in cases.select(short=False) for check in case.checks]
        assert {detector for check in checks for detector in check.without} == set(Detector)

    def test_names_are_unique_and_the_short_form_has_the_clean_run(self) -> None:
        names = [case.name for case in cases.select(short=False)]
        assert len(names) == len(set(names))
        assert cases.CLEAN in [case.name for case in cases.select(short=True)]

    def test_every_pattern_is_a_valid_regular_expression(self) -> None:
        for case in cases.select(short=False):
            for pattern in case.expected:
                re.compile(pattern)


def test_findings_and_reasons_of_a_repeat_are_read_from_the_page(tmp_path: Path) -> None:
    drain = Cell("drain-c1", "drain", {"consumers": 1})
    run = write(tmp_path, Plan([drain], rounds=1, void={("drain-c1", 1): 1}, lost={("drain-c1", 1): 12}))
    pages = reporting.write(run)
    void, counting = (pages.repeat("drain-c1", attempt) for attempt in (1, 2))
    assert [each.partition(":")[0] for each in void.reasons] == ["generator"]
    assert "schedule delay p99 14.2 ms > 10 ms" in void.reasons[0]
    assert counting.reasons == ()
    assert counting.findings[0].startswith("12 accepted and then lost")
    without_page = reporting.Pages(pages.exit_code, pages.output, "", pages.summary)
    assert without_page.repeat("drain-c1", 1).reasons == without_page.repeat("drain-c1", 2).findings == ()


def test_what_a_void_repeat_saw_is_on_the_page_but_not_a_finding_of_the_run(tmp_path: Path) -> None:
    drain = Cell("drain-c1", "drain", {"consumers": 1})
    run = write(tmp_path, Plan([drain], rounds=1, void={("drain-c1", 1): 1}))
    path = run / "cells/drain-c1/1/result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"findings": ["7 foreign: documents of no event"]}))
    pages = reporting.write(run)
    assert pages.exit_code == 0
    assert pages.repeat("drain-c1", 1).findings == ("7 foreign: documents of no event",)
    assert pages.repeat("drain-c1", 2).findings == ()


@pytest.mark.parametrize(("share", "surprising"), [(41, False), (15, False), (14, True)])
def test_a_generator_that_is_late_beside_much_other_work_is_no_false_alarm(share: int, *, surprising: bool) -> None:
    late = "generator: schedule delay p99 57.2 ms > 10 ms: the load was not the load intended"
    blamed = f"{late} (in the window other programs used 0% of the machine's CPU, and its host took {share}%)"
    assert bool(checks._surprising([blamed])) is surprising
    assert checks._surprising([late, "clocks: the worker's clock is ahead"]) == [
        late,
        "clocks: the worker's clock is ahead",
    ]

"""When a run is inconclusive, why, and what to do; every sentence is true for the valid repeats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundle import reading
from reports.answer import ending, verdict
from reports.answer.verdict import RunVerdict
from reports.cells import cells
from reports.page import page
from tests.unit.reports.made_bundle import Cell, Plan, searched_cells, write
from tests.unit.reports.page.test_page import Words

CAP = searched_cells()[1]
BATCHES = [
    Cell(f"drain-b{size}", "drain", {"batch_max_events": size}, rate=rate) for size, rate in ((500, 9e4), (2000, 3e4))
]
STEADY = Cell("steady-c1", "steady", {"consumers": 1})
BUSY = {
    "other_programs": 0.73,
    "stolen": 0.01,
    "programs": [{"name": "chrome", "share": 0.4}, {"name": "cc1plus", "share": 0.33}],
}
MACHINE = "machine: other programs used 73% of its CPU and its host took 1%, more than 25% together"


def judge(run: Path) -> RunVerdict:
    read = reading.load(run)
    return verdict.decide(read, cells.summarise(read))


def text_of(run: Path) -> str:
    read = reading.load(run)
    views = cells.summarise(read)
    return str(Words(page.make(read, views, verdict.decide(read, views)).html))


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def void_all(run: Path, cell: str, **fields: Any) -> None:
    for path in run.glob(f"cells/{cell}/*/result.json"):
        edit(path, valid=False, **({"reasons": [MACHINE], "disturbance": BUSY} | fields))


@pytest.mark.parametrize(("void", "level"), [(0, "passed"), (1, "passed"), (2, "inconclusive"), (3, "inconclusive")])
def test_a_drain_needs_two_of_its_three_rounds(void: int, level: str, tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES, void={("drain-b500", number): 3 for number in range(1, void + 1)}))
    assert judge(run).level == level


def test_a_void_attempt_that_was_replaced_leaves_nothing_open(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan(BATCHES, void={("drain-b500", number): 1 for number in (1, 2, 3)})))
    assert (judged.level, judged.culprits) == ("passed", ())


def test_a_matrix_of_one_round_needs_that_round(tmp_path: Path) -> None:
    assert judge(write(tmp_path, Plan(BATCHES, rounds=1))).level == "passed"


def test_a_search_that_has_not_ended_leaves_the_run_inconclusive(tmp_path: Path) -> None:
    assert judge(write(tmp_path, Plan([replace(CAP, sustainable=None)], requests=400))).level == "inconclusive"


def test_a_search_that_was_cut_off_is_not_reported_as_holding_nothing(tmp_path: Path) -> None:
    probes = (("climb", 15_000.0, True), ("climb", 30_000.0, False))
    cut_off = Plan([replace(CAP, probes=probes, sustainable=None)], status="interrupted", requests=400)
    judged = judge(write(tmp_path, cut_off))
    assert judged.sentence.startswith("What the whole path holds is not decided; ")
    assert judged.level == "inconclusive"


def test_an_open_load_below_those_not_sustained_is_not_a_finding(tmp_path: Path) -> None:
    nothing = {"sustainable_events_per_s": None, "low_events_per_s": None, "confirmed": False}
    probes = (("climb", 30_000.0, False), ("climb", 20_000.0, "undetermined"))
    cell = replace(CAP, probes=probes, capacity=nothing | {"ended": "the 100 s for searching were used up"})
    judged = judge(write(tmp_path, Plan([cell], requests=400)))
    assert (judged.level, judged.findings) == ("inconclusive", ())
    assert any("no probe decides it" in each for each in judged.undecided)


def test_a_search_that_void_probes_kept_from_an_answer_is_inconclusive(tmp_path: Path) -> None:
    nothing = {
        "sustainable_events_per_s": None,
        "confirmed": False,
        "ended": "not determined: no probe could be measured",
    }
    voided = replace(CAP, probes=(("climb", 20_000.0, "void"),) * 3, capacity=nothing)
    judged = judge(write(tmp_path, Plan([voided], requests=400)))
    assert (judged.level, judged.exit_code, judged.findings) == ("inconclusive", 4, ())
    assert judged.sentence.startswith("What the whole path holds is not decided; ")


@pytest.mark.parametrize(("load", "level"), [(20_000.0, "inconclusive"), (40_000.0, "passed")])
def test_an_answer_that_void_probes_left_unconfirmed_is_inconclusive_unless_they_were_too_much_load(
    load: float, level: str, tmp_path: Path
) -> None:
    probes = (("climb", 15_000.0, True), ("climb", 23_100.0, True), ("climb", 30_000.0, False), ("climb", load, "void"))
    cell = replace(CAP, probes=probes, capacity={"confirmed": False, "ended": "the time was over"})
    assert judge(write(tmp_path, Plan([cell], requests=1_200))).level == level


def test_findings_of_valid_repeats_fail_a_run_that_is_inconclusive_too(tmp_path: Path) -> None:
    void = {("drain-b500", number): 3 for number in (1, 2, 3)}
    judged = judge(write(tmp_path, Plan(BATCHES, void=void, lost={("drain-b2000", 1): 5})))
    assert (judged.level, judged.exit_code) == ("failed", 1)
    assert any("Not decided" in each for each in judged.undecided)


def test_programs_that_used_the_machine_are_named_with_their_share_and_what_to_do(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES))
    void_all(run, "drain-b500")
    judged = judge(run)
    assert judged.culprits == (
        "Other programs used up to 73% of the machine's CPU: chrome 40%, cc1plus 33%. Stop them, or wait.",
        "Then measure again: ./tidemark bench quick --rounds 3",
    )
    assert "other programs took up to 73% of the CPU" in judged.sentence
    printed = " ".join(ending.text(judged, None, "RUN", 80).split())
    assert printed.startswith("INCONCLUSIVE: ")
    assert "chrome 40%" in printed


def test_the_host_is_named_if_it_took_the_cpu(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES))
    void_all(run, "drain-b500", disturbance={"other_programs": 0.0, "stolen": 0.4})
    (said, _) = judge(run).culprits
    assert said.startswith("The host of this virtual machine took up to 40% of its CPU.")


def test_where_nobody_used_the_machine_the_reason_stands_in_place_of_a_culprit(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES))
    void_all(run, "drain-b500", reasons=["clocks: drifted"], disturbance={"other_programs": 0.0, "stolen": 0.0})
    judged = judge(run)
    assert judged.culprits[0] == "No other program used much of the CPU. 3 of 3 void attempts: clocks: drifted."
    assert "programs took" not in judged.sentence


@pytest.mark.parametrize("disturbance", [None, {"other_programs": 0.12, "stolen": 0.0}])
def test_others_are_said_to_have_used_little_only_where_that_was_measured(
    disturbance: dict[str, float] | None, tmp_path: Path
) -> None:
    run = write(tmp_path, Plan(BATCHES))
    void_all(run, "drain-b500", reasons=["the repeat broke down before"], disturbance=disturbance, bounds_measured={})
    assert judge(run).culprits[0] == "3 of 3 void attempts: the repeat broke down before."


def test_an_interrupted_run_is_resumed_and_not_begun_again(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES, status="interrupted"))
    void_all(run, "drain-b500")
    assert judge(run).culprits[-1] == f"Then measure again: ./tidemark bench resume {run}"


def test_a_repeat_beside_a_busy_machine_is_not_green_though_its_window_was_too_short_to_be_void(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES[:1], rounds=1))
    (path,) = run.glob("cells/*/*/result.json")
    content = json.loads(path.read_text())
    edit(path, bounds_measured=content["bounds_measured"] | {"disturbed_share": 0.6}, disturbance=BUSY)
    judged = judge(run)
    assert (judged.level, judged.exit_code) == ("inconclusive", 4)
    assert "chrome 40%" in judged.culprits[0]
    text = text_of(run)
    assert "disturbed_share 60.0% of 25.0% allowed" in text
    assert "Nearest to a bound" not in text


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_cell_is_not_compared_with_one_without_a_valid_repeat(rounds: int, tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES, rounds=rounds))
    void_all(run, "drain-b2000")
    text = text_of(run)
    assert "does not overlap that of every other cell" not in text
    assert "Without a valid repeat: 3 × 1, batch 2,000." in text


def test_a_cell_with_one_repeat_is_named_as_one_without_an_interval(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES))
    for number in (2, 3):
        edit(run / f"cells/drain-b2000/{number}/result.json", valid=False, reasons=[MACHINE])
    text = text_of(run)
    assert "does not overlap that" not in text
    assert "One repeat, so no interval: 3 × 1, batch 2,000." in text


def test_valid_cells_whose_intervals_do_not_overlap_are_reported(tmp_path: Path) -> None:
    assert "does not overlap that of every other cell." in text_of(write(tmp_path, Plan(BATCHES)))


def test_void_cells_of_the_whole_path_are_not_hidden(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY]))
    void_all(run, "steady-c1")
    text = text_of(run)
    assert "No cell of this run measured the whole path" not in text
    assert "No cell that measures the whole path has a valid repeat" in text
    assert "No cell with a load has a valid repeat" in text


def test_drains_alone_have_no_load_to_time(tmp_path: Path) -> None:
    text = text_of(write(tmp_path, Plan(BATCHES)))
    assert "No cell of this run measured the whole path" in text
    assert "This run has no cell with a load through HTTP" in text


def test_missing_histograms_are_not_called_missing_repeats(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY]))
    for path in run.glob("cells/*/*/latency.hlog"):
        path.unlink()
    text = text_of(run)
    assert "The histograms (latency.hlog) of this run are missing" in text
    assert "has a valid repeat" not in text


def test_what_was_seen_in_a_void_attempt_is_marked_as_not_a_finding(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES, void={("drain-b500", 1): 1}))
    edit(run / "cells/drain-b500/1/result.json", findings=["1,721 events rejected of 5,000 offered"])
    text = text_of(run)
    assert "drain-b500 round 1 (void, so it counts as no finding): 1,721 events rejected" in text
    assert "1 finding" not in text


def test_without_a_valid_repeat_no_identity_is_said_to_close(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(BATCHES))
    void_all(run, "*")
    assert "adds up over all valid repeats" not in text_of(run)

"""The first sentence, its colour, and the exit code that goes with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundle import reading
from reports.answer import verdict
from reports.answer.verdict import RunVerdict
from reports.cells import cells
from tests.unit.reports.made_bundle import Cell, Plan, write

DRAINS = [Cell("drain-c1", "drain", {"consumers": 1}), Cell("drain-c2", "drain", {"consumers": 2})]
TWO_AXES = [*DRAINS, Cell("drain-p1-c1", "drain", {"partitions": 1, "consumers": 1})]
STEADY = Cell("steady-c1", "steady", {"consumers": 1})


def judge(run: Path) -> RunVerdict:
    read = reading.load(run)
    return verdict.decide(read, cells.summarise(read))


def breakable(text: str) -> str:
    return text.replace("\u00a0", " ")


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_without_findings_the_best_drain_is_the_finding(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan(TWO_AXES)))
    assert (judged.level, judged.exit_code, judged.findings) == ("passed", 0, ())
    assert judged.sentence.startswith("The whole path was not measured; 3 partitions × 2 consumers drained ")
    assert "bound by the machine's CPU" in judged.sentence
    assert judged.sentence.endswith("0 of 1,080,000 events lost.")
    assert judged.sentence.count(".") - judged.sentence.count("0.") == 1


def test_a_loss_comes_first_is_red_and_exits_1(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan(DRAINS, lost={("drain-c2", 2): 12})))
    assert (judged.level, judged.exit_code) == ("failed", 1)
    assert judged.sentence.startswith("12 of 720,000 events lost; ")
    assert judged.findings[0].repeat == "drain-c2 round 2"


def test_a_loss_that_no_finding_names_is_found_all_the_same(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS, lost={("drain-c2", 2): 1}))
    edit(run / "cells/drain-c2/2/result.json", findings=[])
    judged = judge(run)
    assert judged.exit_code == 1
    assert [(f.repeat, f.text) for f in judged.findings] == [("drain-c2 round 2", "1 accepted and then lost")]


def test_what_a_void_attempt_lost_or_refused_is_not_a_finding_and_not_counted(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS, void={("drain-c1", 1): 1}))
    path = run / "cells/drain-c1/1/result.json"
    audit = json.loads(path.read_text())["audit"]
    edit(
        path,
        audit=audit | {"lost": 3, "stored_accepted": audit["accepted"] - 3},
        findings=["1,721 events rejected of 120,000 offered (objective: at most 0.0%)"],
    )
    judged = judge(run)
    assert (judged.level, judged.exit_code, judged.findings) == ("passed", 0, ())
    assert judged.sentence.endswith("0 of 720,000 events lost.")


def test_an_identity_that_does_not_close_is_a_finding(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS))
    path = run / "cells/drain-c1/3/result.json"
    audit = json.loads(path.read_text())["audit"]
    edit(path, audit=audit | {"stored_accepted": audit["accepted"] - 1})
    judged = judge(run)
    assert judged.level == "failed"
    assert "identity 2 does not close" in judged.findings[0].text


def test_a_crash_is_a_finding_and_the_rest_is_reported(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan(TWO_AXES, crashed={("drain-c1", 1)})))
    assert judged.exit_code == 1
    assert judged.findings[0].text.startswith("crash: worker 1 exited with code 3")
    assert "drained" in judged.sentence


def test_a_cell_without_a_valid_repeat_leaves_the_run_inconclusive(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan(DRAINS, rounds=1, void={("drain-c2", 1): 3})))
    assert (judged.level, judged.exit_code) == ("inconclusive", 4)
    assert [breakable(each) for each in judged.undecided] == [
        "Not decided: drain 3 × 2: 0 valid repeats of 1 round: 1 needed."
    ]
    assert any(caution.startswith("3 void attempts") for caution in judged.cautions)


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan(DRAINS, status="interrupted", missing={("drain-c2", 3)})))
    assert judged.level == "inconclusive"
    assert judged.undecided == ("The run was interrupted: the report covers the repeats that were finished.",)
    assert any("drain-c2 round 3" in caution for caution in judged.cautions)


def test_nothing_measured_is_no_success(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan(DRAINS, rounds=0)))
    assert (judged.level, judged.exit_code) == ("inconclusive", 4)
    assert judged.sentence.startswith("Nothing is decided: no repeat is valid")


BUSY = {"other_programs": 0.7, "stolen": 0.1, "programs": [{"name": "burn", "share": 0.6}]}


def test_a_run_that_was_stopped_says_why(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS, status="interrupted", missing={("drain-c2", 3)}))
    edit(run / "manifest.json", stopped="this machine is busy: others use 80% of its CPU: burn 60%")
    assert any("stopped: this machine is busy" in each and "burn 60%" in each for each in judge(run).undecided)


@pytest.mark.parametrize(("then", "is_said"), [("went on", True), ("waited", False)])
def test_a_run_that_went_on_on_a_busy_machine_says_so_and_names_who_used_it(
    tmp_path: Path,
    then: str,
    is_said: bool,  # noqa: FBT001 - pytest's way
) -> None:
    run = write(tmp_path, Plan(DRAINS))
    edit(run / "manifest.json", busy=[{"at": "2026-11-22T16:00:00Z", "then": then, "found": BUSY}])
    assert any("others used 80% of its CPU (burn 60%)" in caution for caution in judge(run).cautions) is is_said


def test_changed_bounds_stand_in_the_verdict(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan(DRAINS, bounds={"schedule_delay_p99_ms": 50.0})))
    assert "Validity was judged by changed bounds: schedule_delay_p99_ms = 50." in judged.cautions


def test_a_busy_machine_is_a_caution_of_the_verdict(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS))
    edit(run / "cells/drain-c1/1/result.json", disturbance={"other_programs": 0.01, "stolen": 0.0})
    assert not any("left alone" in caution for caution in judge(run).cautions)
    edit(run / "cells/drain-c1/2/result.json", disturbance={"other_programs": 0.2, "stolen": 0.05})
    (caution,) = [each for each in judge(run).cautions if "left alone" in each]
    assert "in 1 of 2 valid repeats" in caution
    assert "at most 25%" in caution


def test_with_steady_cells_only_the_offered_load_is_the_finding(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, Plan([STEADY], rounds=2)))
    assert judged.best is None
    assert judged.sentence.startswith("3 partitions × 1 consumer held the ")


def test_cells_whose_intervals_overlap_the_best_are_its_rivals(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS))
    for round_, (first, second) in enumerate(((100, 102), (110, 113), (105, 106)), start=1):
        edit(run / f"cells/drain-c1/{round_}/result.json", throughput_events_per_s=first)
        edit(run / f"cells/drain-c2/{round_}/result.json", throughput_events_per_s=second)
    assert [cell.plan.id for cell in judge(run).rivals] == ["drain-c1"]
    for round_ in (1, 2, 3):
        edit(run / f"cells/drain-c1/{round_}/result.json", throughput_events_per_s=50 + round_)
    assert judge(run).rivals == ()

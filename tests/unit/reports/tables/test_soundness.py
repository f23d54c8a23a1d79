"""Whether to believe the measurement: bounds with the worst of each, void attempts with their reasons, the witness."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.cells.bounds import Bounds
from bundle import reading
from reports.cells import cells
from reports.sections import validity
from reports.tables import Table, counters, soundness
from tests.unit.reports.made_bundle import Cell, Plan, write

STEADY = Cell("steady-c1", "steady", {"consumers": 1})
DRAIN = Cell("drain-c1", "drain", {"consumers": 1})


def edit(run: Path, repeat: str, **fields: Any) -> None:
    path = run / "cells" / repeat / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def row(of: Table, first: str) -> dict[str, str]:
    (found,) = [each for each in of.rows if each[0] == first]
    return dict(zip(of.heads, found, strict=True))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path, Plan([STEADY, DRAIN], void={("steady-c1", 2): 1}, requests=300))


def test_every_bound_that_there_is_has_its_words() -> None:
    assert set(soundness.BOUNDS) == set(Bounds.__struct_fields__)


def test_each_bound_shows_the_worst_valid_repeat_and_how_many_attempts_it_voided(run: Path) -> None:
    edit(run, "steady-c1/3", bounds_measured={"schedule_delay_p99_ms": 8.25, "compare_share": 0.5})
    edit(run, "steady-c1/2", bounds_measured={"schedule_delay_p99_ms": 99.0, "compare_share": 0.1})
    table = soundness.bounds(reading.load(run))
    delay, compared = row(table, "schedule_delay_p99_ms"), row(table, "compare_share")
    assert (delay["worst measured"], delay["in"]) == ("8.25", "steady-c1 round 3")
    assert (delay["value"], delay["attempts voided"]) == ("10.0", "1")
    assert (compared["value"], compared["worst measured"]) == ("at least 100.0%", "50.0%")
    assert row(table, "witness_tolerance_ms")["attempts voided"] == "0"


def test_attempts_are_counted_under_the_bound_that_their_reasons_name(run: Path) -> None:
    bounds = {
        "generator: a process used 91% of a core > 80%: use more generator_processes": "generator_cpu_share",
        "generator: 12 events unsent > 0": "unsent",
        "clocks: wall and monotonic clock drifted 2.00 ms in a second > 1 ms: it was set": "clock_drift_ms_per_s",
        "drain: the backlog was not gone after 60 s, of at most 60 s": "drain_timeout_s",
        "accounting: 990 of 1,000 documents were compared, 100% asked for": "compare_share",
        "machine: other programs used 9% of its CPU and its host took 21%, more than 15% together": "disturbed_share",
        "clocks: 4 events of the load were acknowledged before they were fetched (write), by up to 3.000 ms: a clock "
        "went back": "negative_duration_ms",
        "clocks: 2 of the witness's events were read by the witness before the worker's log says that they were "
        "fetched (fetched_to_seen), by up to 31.000 ms: the worker's clock is ahead": "witness_tolerance_ms",
        "accounting: a generator process did not close its ledger": "other reasons, no bound",
    }
    for reason, bound in bounds.items():
        edit(run, "steady-c1/2", reasons=[reason])
        table = soundness.bounds(reading.load(run))
        voided = [each[0] for each in table.rows if each[table.heads.index("attempts voided")] == "1"]
        assert voided == [bound]


def test_the_repeat_that_came_nearest_to_a_bound_is_named(run: Path) -> None:
    edit(run, "steady-c1/3", bounds_measured={"schedule_delay_p99_ms": 9.6})
    words = [text for part in validity.section(reading.load(run), ()).parts for text in part.words]
    assert (
        "Nearest to a bound of validity came steady-c1 round 3: schedule_delay_p99_ms 9.60, 96% of the 10.0 allowed."
        in words
    )


def test_a_void_attempt_says_every_reason_and_what_came_of_it(run: Path) -> None:
    edit(run, "steady-c1/2", reasons=["one thing", "another"])
    edit(run, "drain-c1/1", valid=False, reasons=["a third"])
    table = soundness.void_attempts(reading.load(run))
    assert [each[1:] for each in table.rows] == [
        ("one thing; another", "replaced by attempt 2"),
        ("a third", "not replaced"),
    ]


def test_many_void_attempts_are_counted_by_reasons_that_differ_in_numbers_only(tmp_path: Path) -> None:
    cells_ = [Cell(f"steady-c{c}", "steady", {"consumers": c}) for c in (1, 2)]
    run = write(tmp_path, Plan(cells_, void={(c.id, r): 3 for c in cells_ for r in (1, 2)}, requests=40))
    for index, attempt in enumerate(("1", "1.2", "1.3", "2")):
        edit(
            run, f"steady-c1/{attempt}", reasons=[f"generator: schedule delay p99 {11 + index}.5 ms > 10 ms (host 3%)"]
        )
    edit(run, "steady-c2/2.2", reasons=["accounting: 12 are not 13"])
    read = reading.load(run)
    by_reason = {each[0]: each[1:] for each in soundness.void_reasons(read).rows}
    assert by_reason["generator: schedule delay p99 11.5 ms > 10 ms; and the like"] == ("4", "1")
    assert by_reason["accounting: 12 are not 13"] == ("1", "1")
    assert sum(int(count) for count, _ in by_reason.values()) == 12
    parts = validity.section(read, cells.summarise(read)).parts
    (all_of_them,) = [part for part in parts if part.summary == "All 12 void attempts"]
    assert all_of_them.table is not None
    assert len(all_of_them.table.rows) == 12


def test_the_witness_is_one_sentence_with_the_cells_behind_it(run: Path) -> None:
    seen = {"events": 40, "tolerance_ms": 10.0, "resolution_ms": 9.0, "seen_p50_ms": 41.0, "logged_p50_ms": 40.0}
    for repeat, disagreeing, beyond in (("1", 0, 0.25), ("2.2", 3, 12.5), ("3", 0, 0.5)):
        edit(run, f"steady-c1/{repeat}", witness=seen | {"disagreeing": disagreeing, "beyond_max_ms": beyond})
    read = reading.load(run)
    views = cells.summarise(read)
    (part,) = [each for each in validity.section(read, views).parts if "witness" in "".join(each.words)]
    assert "sent 120 events of its own in 3 valid repeats" in part.words[0]
    assert "3 of them disagree with the deliveries logs by more than 10.0 ms" in part.words[0]
    assert "the most is 12.5 ms" in part.words[0]
    assert part.table is not None
    (row,) = part.table.rows
    assert re.sub("\\s", " ", row[0]).startswith("steady")
    assert row[1:4] == ("3", "120", "3")
    steady = next(cell for cell in views if cell.plan.kind == "steady")
    per_repeat = soundness.witness_of(steady)
    assert len(per_repeat.rows) == 4
    assert [per_repeat.rows[index][0] for index in per_repeat.marked] == ["2, attempt 2"]


def test_without_a_witness_nothing_is_said_of_one(run: Path) -> None:
    for repeat in ("1", "2.2", "3"):
        edit(run, f"steady-c1/{repeat}", witness=None)
    read = reading.load(run)
    said = [text for part in validity.section(read, cells.summarise(read)).parts for text in part.words]
    assert not any("witness" in text for text in said)


def test_counters_have_a_column_for_each_repeat_and_leave_out_what_none_reports(run: Path) -> None:
    use = {"request_queue_max": 7.0, "handlers_busy_share": None}
    edit(run, "steady-c1/3", kafka_use=use, mongodb_use=None, loopback_bytes_per_s=None)
    steady = next(cell for cell in cells.summarise(reading.load(run)) if cell.plan.kind == "steady")
    table = counters.counters(steady.counted)
    assert table.heads[1:] == ("round 1", "round 2, attempt 2", "round 3")
    assert row(table, "Kafka: request queue, most")["round 3"] == "7"
    assert row(table, "MongoDB: write tickets there are")["round 3"] == "\u2013"
    alone = counters.counters([steady.counted[2]])
    assert not [each for each in alone.rows if each[0].startswith("MongoDB") or "handlers" in each[0]]
    by_role = counters.processes(steady.counted)
    assert "MongoDB" in {each[0] for each in by_role.rows}

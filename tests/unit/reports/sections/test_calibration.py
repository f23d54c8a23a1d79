"""What the report says of the generator's calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundle import reading
from bundle.errors import SchemaVersionError
from reports.cells import cells
from reports.sections import calibration, validity
from reports.sections.section import SectionPart
from tests.unit.reports.made_bundle import Cell, Plan, write

STAIR = {
    "offered_load_events_per_s": 40_000.0,
    "requests_per_s": 720.0,
    "schedule_delay_p99_ms": 1.25,
    "cpu_share": 0.31,
    "cpu_s_per_100k_events": 0.77,
    "unsent": 0,
    "holds": True,
}
FOUND = {
    "schema_version": 2,
    "fingerprint": "abc",
    "measured_at": "2026-11-22T21:00:00Z",
    "took_s": 18.5,
    "highest_events_per_s": 40_000.0,
    "beyond": False,
    "cpu_s_per_100k_events": 0.77,
    "schedule_delay_p99_ms": 10.0,
    "generator_cpu_share": 0.8,
    "disturbance": {"other_programs": 0.02, "stolen": 0.01},
    "stairs": [STAIR, {**STAIR, "offered_load_events_per_s": 80_000.0, "holds": False, "schedule_delay_p99_ms": None}],
}


def part_of(tmp_path: Path, found: dict[str, Any] | None = None, **axes: object) -> SectionPart:
    run = write(tmp_path, Plan([Cell("steady-c1", "steady", {"consumers": 1, **axes})], requests=300))
    if found is not None:
        (run / "calibration.json").write_text(json.dumps(FOUND | found))
    read = reading.load(run)
    assert calibration.part(read, cells.summarise(read)) in validity.section(read, cells.summarise(read)).parts
    return calibration.part(read, cells.summarise(read))


def test_the_section_shows_what_one_process_can_do_with_every_stair_behind_it(tmp_path: Path) -> None:
    part = part_of(tmp_path, {})
    assert len(part.words) == 1
    assert "up to 40,000 events/s, for 0.77 CPU-s per 100k events" in part.words[0]
    assert "10 ms, 80.0% of a core" in part.words[0]
    assert part.table is not None
    assert [row[:2] for row in part.table.rows] == [("40,000", "kept"), ("80,000", "not kept")]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"highest_events_per_s": 10.0}, "Caution: steady-c1 offered more than that."),
        ({"beyond": True}, "at least 40,000"),
        ({"highest_events_per_s": None, "cpu_s_per_100k_events": None}, "at no load tried"),
        ({"disturbance": {"other_programs": 0.3, "stolen": 0.0}}, "Others used 30.0% of the machine meanwhile"),
    ],
)
def test_the_section_shows_the_conditions_of_the_calibration(tmp_path: Path, found: dict[str, Any], words: str) -> None:
    assert any(words in each for each in part_of(tmp_path, found).words)


def test_more_processes_can_do_more(tmp_path: Path) -> None:
    for processes, cautions in ((1, 1), (4, 0)):
        folder = tmp_path / str(processes)
        run = write(folder, Plan([Cell("steady-c1", "steady", {"generator_processes": processes})], requests=300))
        loads = [repeat.result.offered_load_events_per_s or 0.0 for repeat in reading.load(run).repeats]
        (run / "calibration.json").write_text(json.dumps(FOUND | {"highest_events_per_s": max(loads) / 2}))
        read = reading.load(run)
        assert sum("Caution" in each for each in calibration.part(read, cells.summarise(read)).words) == cautions


def test_without_a_calibration_nothing_is_said(tmp_path: Path) -> None:
    assert part_of(tmp_path) == SectionPart()


def test_a_damaged_one_is_a_note_and_one_of_another_version_is_refused(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([Cell("steady-c1", "steady", {"consumers": 1})], requests=300))
    (run / "calibration.json").write_text("{")
    read = reading.load(run)
    assert read.calibration is None
    assert any("calibration.json" in note for note in read.notes)
    (run / "calibration.json").write_text(json.dumps(FOUND | {"schema_version": 9}))
    with pytest.raises(SchemaVersionError):
        reading.load(run)

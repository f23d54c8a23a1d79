"""Reading a bundle: whole, cut short, damaged, of another schema version."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bundle import reading
from bundle.errors import BundleError, NoRunError, SchemaVersionError
from bundle.result import Percentiles, Probe, Sustained, Window
from reports.cells import timeseries
from tests.unit.reports import made
from tests.unit.reports.made_bundle import Cell, Plan, write

DRAINS = [Cell("drain-c1", "drain", {"consumers": 1}), Cell("drain-c2", "drain", {"consumers": 2})]


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_every_attempt_is_read_in_the_order_of_cells_rounds_and_attempts(tmp_path: Path) -> None:
    read = reading.load(write(tmp_path, Plan(DRAINS, rounds=2, void={("drain-c1", 1): 2})))
    assert [repeat.name for repeat in read.repeats] == [
        "drain-c1 round 1",
        "drain-c1 round 1, attempt 2",
        "drain-c1 round 1, attempt 3",
        "drain-c1 round 2",
        "drain-c2 round 1",
        "drain-c2 round 2",
    ]
    assert [repeat.result.valid for repeat in read.repeats] == [False, False, True, True, True, True]
    assert read.notes == ()


@pytest.mark.parametrize("version", [0, 1, "2", None])
def test_another_schema_version_is_refused_and_the_needed_one_named(tmp_path: Path, version: object) -> None:
    run = write(tmp_path, Plan(DRAINS, rounds=1))
    change(run / "manifest.json", schema_version=version)
    with pytest.raises(SchemaVersionError, match=f"schema_version {version!r}.* needs schema_version 2"):
        reading.load(run)


def test_another_schema_version_of_one_result_is_refused_too(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS, rounds=1))
    change(run / "cells/drain-c2/1/result.json", schema_version=3)
    with pytest.raises(SchemaVersionError, match=r"drain-c2/1/result\.json"):
        reading.load(run)


def test_fields_that_a_later_harness_adds_do_not_hinder(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS, rounds=1))
    change(run / "cells/drain-c2/1/result.json", something_new={"deep": 1})
    assert len(reading.load(run).repeats) == 2


def kept_up(**fields: Any) -> bool | None:
    return made.result("steady", **fields).kept_up


@pytest.mark.parametrize(("said", "meant"), [("sustained", True), ("not sustained", False), ("straddles", None)])
def test_whether_a_load_was_kept_up_with_is_rule_9_s_verdict(said: str, meant: bool | None) -> None:  # noqa: FBT001
    assert kept_up(keeping_up=Sustained(1.0, 0.5, 2.0, 20.0, said, holds=True), achieved=0.9) is meant


def test_without_a_recorded_deficit_only_a_low_highest_latency_shows_that_a_load_was_kept_up_with() -> None:
    assert kept_up(window=Window(3.0, 9.0), achieved=0.975, delivery_latency_ms=Percentiles(max=85.0)) is True
    assert kept_up(window=Window(3.0, 9.0), achieved=0.999, delivery_latency_ms=Percentiles(max=130.0)) is None
    assert kept_up(achieved=1.0) is None


def test_an_older_probe_is_judged_by_the_deficit_that_it_has() -> None:
    assert kept_up(probe=Probe("climb", "sustained", True, 1.0, 5.0, 20.0)) is True
    assert kept_up(probe=Probe("climb", "not sustained", False, 90.0, 120.0, 20.0)) is False
    assert kept_up(probe=Probe("climb", "undetermined", True, 10.0, 30.0, 20.0)) is None
    assert kept_up(probe=Probe("climb", "undetermined", False, 0.0, 0.0, 0.0)) is None


def test_an_unfinished_repeat_is_noted(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS, rounds=1, missing={("drain-c2", 1)}))
    (run / "cells/drain-c2/1.2.partial").mkdir(parents=True)
    (run / "cells/drain-c2/1.2.partial/result.json").write_text("{}")
    notes = reading.load(run).notes
    assert "drain-c2 round 1, attempt 2: begun, not finished" in notes
    assert "1 of 2 planned repeats have no result: drain-c2 round 1" in notes


def test_a_damaged_result_is_noted_and_the_rest_is_read(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS, rounds=1))
    (run / "cells/drain-c1/1/result.json").write_text('{"schema_version": 2, "cell": 3}')
    read = reading.load(run)
    assert [repeat.result.cell for repeat in read.repeats] == ["drain-c2"]
    assert any("drain-c1/1/result.json is damaged" in note for note in read.notes)


def test_without_a_manifest_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read"):
        reading.load(tmp_path)


def test_a_damaged_time_series_is_none_and_noted(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(DRAINS, rounds=1))
    (run / "cells/drain-c1/1/timeseries.parquet").write_bytes(b"PAR1 and no more")
    read = reading.load(run)
    first, second = read.repeats
    (note,) = read.notes
    assert "drain-c1/1/timeseries.parquet is damaged" in note
    assert timeseries.read(first) is None
    assert timeseries.read(second) is not None


class TestCapacity:
    SEARCHED = Cell("capacity-c1", "capacity", {}, (("climb", 8_000.0, True),), (8_000.0, 7_500.0, 9_000.0))

    def test_the_answer_of_a_search_is_read_by_its_cell(self, tmp_path: Path) -> None:
        read = reading.load(write(tmp_path, Plan([self.SEARCHED], rounds=1)))
        assert read.capacities["capacity-c1"].sustainable_events_per_s == 8_000
        assert read.notes == ()

    def test_a_search_that_has_not_ended_is_noted(self, tmp_path: Path) -> None:
        run = write(tmp_path, Plan([self.SEARCHED], rounds=1))
        (run / "cells/capacity-c1/capacity.json").unlink()
        assert "capacity-c1: its search has not ended, there is no capacity.json" in reading.load(run).notes

    def test_a_damaged_answer_is_noted_and_the_probes_are_read(self, tmp_path: Path) -> None:
        run = write(tmp_path, Plan([self.SEARCHED], rounds=1))
        change(run / "cells/capacity-c1/capacity.json", cell=3)
        read = reading.load(run)
        (note,) = read.notes
        assert "capacity-c1/capacity.json is damaged" in note
        assert (read.capacities, len(read.repeats)) == ({}, 1)

    def test_an_answer_of_another_schema_version_is_refused(self, tmp_path: Path) -> None:
        run = write(tmp_path, Plan([self.SEARCHED], rounds=1))
        change(run / "cells/capacity-c1/capacity.json", schema_version=1)
        with pytest.raises(SchemaVersionError, match=r"capacity\.json has schema_version 1"):
            reading.load(run)


class TestFind:
    def test_the_newest_run_is_the_default(self, tmp_path: Path) -> None:
        for age, name in ((300, "b-old"), (100, "a-new"), (200, "c-older")):
            run = write(tmp_path, Plan(DRAINS, rounds=0), name)
            stamp = 1_795_000_000 - age
            os.utime(run / "manifest.json", (stamp, stamp))
        assert reading.find(None, tmp_path).name == "a-new"

    def test_a_run_is_found_by_path_and_by_name(self, tmp_path: Path) -> None:
        run = write(tmp_path, Plan(DRAINS, rounds=0), "mine")
        assert reading.find(str(run), Path("nowhere")) == run
        assert reading.find("mine", tmp_path) == run
        assert reading.find(str(run / "manifest.json"), Path("nowhere")) == run

    def test_a_folder_that_is_not_a_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(NoRunError, match="nothing-here is no run"):
            reading.find("nothing-here", tmp_path)
        with pytest.raises(NoRunError, match="no run under"):
            reading.find(None, tmp_path)

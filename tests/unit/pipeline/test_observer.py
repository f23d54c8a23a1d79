"""The observer hook: what it names is made, and what cannot be made is an error of the setting."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline import observer
from pipeline.errors import SettingError
from pipeline.observer import Observer
from pipeline.settings import load

MODULE = """
from pipeline.observer import Observer

class Mine(Observer):
    def __init__(self, role):
        self.role = role

def broken(role):
    raise ValueError(f"no room for {role}")

def nothing(role):
    return None

number = 7
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "observer_of_test.py").write_text(MODULE)
    (tmp_path / "observer_that_fails.py").write_text("import there_is_no_such_part")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("observer_of_test", "observer_that_fails"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_factory_makes_an_observer_for_the_role() -> None:
    made = observer.load("observer_of_test:Mine", "worker")
    assert isinstance(made, Observer)
    assert made.role == "worker"


def test_without_a_name_there_is_none_and_nothing_is_imported() -> None:
    assert observer.load("", "api") is None
    assert "observer_of_test" not in sys.modules


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:make", "the module no_such_module cannot be imported"),
        ("observer_that_fails:make", "there_is_no_such_part"),
        ("observer_of_test:make", "observer_of_test has no function make"),
        ("observer_of_test:number", "observer_of_test has no function number"),
        ("observer_of_test:broken", "broken('api') failed (ValueError: no room for api)"),
        ("observer_of_test:nothing", "nothing('api') gave NoneType"),
    ],
)
def test_what_cannot_be_made_is_an_error_that_names_the_setting(name: str, words: str) -> None:
    with pytest.raises(SettingError) as raised:
        observer.load(name, "api")
    assert str(raised.value).startswith(f"PIPELINE_OBSERVER={name!r} cannot be used: ")
    assert words in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("name", ["module", "module:", ":factory", "a b:c", "a:b:c", "a:b.c"])
def test_what_is_no_module_and_factory_is_refused_when_the_settings_are_read(name: str) -> None:
    with pytest.raises(SettingError, match=r"PIPELINE_OBSERVER=.*write module:factory"):
        load({"PIPELINE_OBSERVER": name})


def test_a_settings_file_may_name_it_too(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('observer = "a.b:c"\n')
    assert load({"PIPELINE_SETTINGS_FILE": str(tmp_path / "s.toml")}).observer == "a.b:c"
    (tmp_path / "s.toml").write_text("observer = 3\n")
    with pytest.raises(SettingError, match=r"observer in .*write module:factory"):
        load({"PIPELINE_SETTINGS_FILE": str(tmp_path / "s.toml")})

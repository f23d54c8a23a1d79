"""``./tidemark bench perf`` on a checkout of its own whose working tree has become slower than its last commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
SLOWER = """

_mapped_once = documents_of


def documents_of(records: Sequence[Record]) -> tuple[list[Document], list[bytes]] | None:
    _mapped_once(records)
    _mapped_once(records)
    return _mapped_once(records)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    for package in (each.parent for each in ROOT.glob("*/__init__.py")):
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("reference", "*.html"))
    (folder / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "As it was"]):
        subprocess.run([*GIT, *command], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_mapping_three_times_as_slow_is_reported_and_no_other_step(checkout: Path) -> None:
    mapping = checkout / "pipeline" / "worker" / "mapping.py"
    mapping.write_text(mapping.read_text(encoding="utf-8") + SLOWER, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "perf", "--steps", "map,document-id", "--rounds", "7", "--json", "perf.json"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BASE is HEAD (" in done.stdout
    assert "What differs: pipeline/worker/mapping.py." in done.stdout
    assert done.stdout.splitlines()[-1] == "Regression: map"
    perf = json.loads((checkout / "perf.json").read_text(encoding="utf-8"))
    steps = {step["step"]: step for step in perf["steps"]}
    assert steps["map"]["verdict"] == "slower"
    assert steps["map"]["ratio"] < 0.5
    assert steps["document-id"]["verdict"] in ("same", "cannot tell")
    left = subprocess.run(["git", "worktree", "list"], cwd=checkout, capture_output=True, text=True, check=True)  # noqa: S607 - git of PATH
    assert len(left.stdout.splitlines()) == 1

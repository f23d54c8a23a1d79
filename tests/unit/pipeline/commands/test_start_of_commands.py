"""Commands that only tell something start quickly: they leave alone what only a run, a server or a page needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
HEAVY = ["numpy", "scipy", "pandas", "matplotlib", "aiokafka", "sanic", "motor", "pymongo", "locust", "gevent"]


@pytest.mark.parametrize(
    "command",
    [
        ["bench", "--help"],
        ["bench", "plan", "quick"],
        ["bench", "run", "--help"],
        ["bench", "compare", "--help"],
        ["bench", "advise", "--help"],
        ["bench", "ceilings", "--help"],
        ["bench", "clean", "--help"],
        ["pipeline", "--help"],
        ["pipeline", "up", "--help"],
        ["pipeline", "worker", "--help"],
        ["pipeline", "api", "--help"],
        ["reports", "--help"],
    ],
    ids=" ".join,
)
def test_a_command_that_only_prints_imports_nothing_heavy(command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *command],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = {
        line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")
    }
    assert "argparse" in imported
    assert sorted(imported.intersection(HEAVY)) == []

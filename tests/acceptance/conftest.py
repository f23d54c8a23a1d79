"""Whole runs of the bench on the tests' servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.small_checkout import make_checkout, run

ROOT = Path(__file__).resolve().parents[2]
FAULTS = ROOT / "bench" / "selftest" / "faults"


class Runs:
    """Runs ``./tidemark bench`` on the test's servers."""

    root = ROOT

    def __init__(self, folder: Path, servers) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PIPELINE_KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
            "PIPELINE_MONGO_URI": servers.mongo_uri,
            "PYTHONPATH": f"{FAULTS}{os.pathsep}{ROOT}",
        }

    def start(self, *arguments: str, fault: dict | None = None) -> subprocess.Popen[str]:
        measures = (arguments[0] in ("run", "resume") or "--ab" in arguments) and "--when-busy" not in arguments
        # What else runs here is no matter of these tests.
        command = [sys.executable, "-m", "bench", *arguments, *(["--when-busy", "go-on"] if measures else [])]
        environment = {**self.environment, "TIDEMARK_FAULT": json.dumps(fault or {})}
        output = (self.folder / "output.txt").open("a")
        # As a shell starts what runs in the background: without Ctrl-C.
        in_background = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
        return subprocess.Popen(in_background, cwd=ROOT, env=environment, stdout=output, stderr=output, text=True)

    def run(self, *arguments: str, fault: dict | None = None) -> int:
        return self.start(*arguments, fault=fault).wait(timeout=200)  # a bound, no measurement

    def matrix(self, text: str) -> str:
        """Write a matrix and return its path."""
        path = self.folder / "matrix.toml"
        path.write_text(text)
        return str(path)

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    @property
    def run_dir(self) -> Path:
        return next(path.parent for path in self.folder.glob("runs/*/manifest.json"))

    def results(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted(self.run_dir.glob("cells/*/*/result.json"))]


@pytest.fixture
def runs(tmp_path: Path, servers) -> Runs:
    return Runs(tmp_path, servers)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkout whose environment has been made."""
    made = make_checkout(tmp_path_factory.mktemp("commands"))
    first = run(made / "tidemark", "report")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "making .venv with" in first.stdout
    return made

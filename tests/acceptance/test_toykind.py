"""Adding a kind of cell is adding two modules: in a copy of the checkout with them, it is run, resumed and reported."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests import toykind

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
ON_A_BUSY_MACHINE = """
[bounds]
disturbed_share = 1.0
schedule_delay_p99_ms = 2000
generator_cpu_share = 1.0
"""
WITHOUT = shutil.ignore_patterns("__pycache__", "reference", "latest.html")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages as they are, and the two modules."""
    folder = tmp_path / "copy"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=WITHOUT)
    for place, module in toykind.MODULES.items():
        shutil.copy(module, folder / place)
    return folder


@pytest.mark.slow
def test_a_toy_kind_is_run_resumed_reported_and_compared(runs, copy: Path, tmp_path: Path) -> None:
    environment = {**runs.environment, "PYTHONPATH": str(copy)}
    environment.pop("TIDEMARK_FAULT", None)
    matrix, out = runs.matrix(toykind.MATRIX + ON_A_BUSY_MACHINE), tmp_path / "runs"

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", *arguments]
        output = (tmp_path / "output.txt").open("a")
        return subprocess.Popen(command, cwd=copy, env=environment, stdout=output, stderr=output, text=True)

    def run(*arguments: str) -> int:
        return start(*arguments).wait(timeout=200)

    measuring = ("--ceilings", "never", "--when-busy", "go-on", "--out", str(out))
    process = start("bench", "run", matrix, *measuring)
    deadline = time.monotonic() + 150
    while not list(out.glob("*/cells/*/1/result.json")):
        assert process.poll() is None, runs.output
        assert time.monotonic() < deadline, runs.output
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=100) == 130, runs.output
    finished = {path: path.read_bytes() for path in out.glob("*/cells/*/*/result.json")}
    assert 0 < len(finished) < 4

    assert run("bench", "resume", str(runs.run_dir), "--when-busy", "go-on") in {0, 4}, runs.output
    assert all(path.read_bytes() == content for path, content in finished.items())
    results = [each for each in runs.results() if each["valid"]]
    assert {each["kind"] for each in results} == {"pulse"}
    for each in results:
        assert len(each["of_kind"]["pulses_late_ms"]) == each["axes"]["pulses"]
        assert each["audit"]["lost"] == 0
        assert each["window"] == {"start_s": 1.0, "end_s": 5.0}

    assert run("reports", str(runs.run_dir), "--latest", str(tmp_path / "latest.html")) in {0, 4}, runs.output
    page = (runs.run_dir / "report.html").read_text()
    assert "Pulse cells" in page
    assert "How late the pulses were." in page

    compared, other = tmp_path / "compare.json", tmp_path / "the-same"
    shutil.copytree(runs.run_dir, other)
    assert run("bench", "compare", str(runs.run_dir), str(other), "--json", str(compared)) == 0, runs.output
    assert {each["kind"] for each in json.loads(compared.read_text())["cells"]} == {"pulse"}

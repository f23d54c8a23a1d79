"""The shipped smoke matrix, from its first event to the report's last file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time


def test_the_smoke_matrix_accounts_for_every_event_and_is_reported(runs) -> None:
    """On a busy machine a repeat may be void, and the run inconclusive: its account has to close all the same."""
    code = runs.run("run", "smoke", "--out", str(runs.folder / "runs"))
    assert code in {0, 4}, runs.output
    results = runs.results()
    assert {each["kind"] for each in results} == {"drain", "steady"}
    for result in results:
        audit = result["audit"]
        assert result["findings"] == []
        assert audit["offered"] == audit["accepted"] == audit["stored_accepted"] == audit["compared"] > 0
        assert (audit["lost"], audit["stored_twice"], audit["foreign"], audit["differing"]) == (0, 0, 0, 0)
    steady = next(each for each in results if each["kind"] == "steady")
    stages = sum(stage["mean"] for stage in steady["stages_ms"].values())
    assert stages > 0
    assert (runs.run_dir / "cells" / steady["cell"] / "1" / "latency.hlog").is_file()

    calibration = json.loads((runs.run_dir / "calibration.json").read_text())
    assert len(calibration["stairs"]) == 10

    command = [sys.executable, "-m", "reports", str(runs.run_dir), "--latest", str(runs.folder / "latest.html")]
    reported = subprocess.run(command, cwd=runs.root, capture_output=True, text=True, check=False, timeout=100)
    assert reported.returncode == code, reported.stderr
    assert runs.output.endswith(reported.stdout[reported.stdout.rindex("held, limit, drained") :])
    assert str(runs.run_dir / "report.html") in reported.stdout
    for name in ("report.html", "summary.csv", "summary.json", "summary.md"):
        assert (runs.run_dir / name).stat().st_size > 0


def test_sigterm_ends_a_run_in_order_and_leaves_it_to_be_resumed(runs) -> None:
    process = runs.start("run", "smoke", "--out", str(runs.folder / "runs"))
    deadline = time.monotonic() + 60
    while not list(runs.folder.glob("runs/*/cells/*/1.partial/worker-1.log")):
        assert process.poll() is None, runs.output
        assert time.monotonic() < deadline, runs.output
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=100) == 130, runs.output
    assert json.loads((runs.run_dir / "manifest.json").read_text())["status"] == "interrupted"
    assert "continue with: ./tidemark bench resume" in runs.output

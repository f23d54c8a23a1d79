"""A run that found something and was interrupted: what it found stays found."""

from __future__ import annotations

import json
import signal
import time

MATRIX = """
name = "faults"
seed = 3
rounds = 2
[[cells]]
kind = "drain"
axes = { partitions = [1], consumers = [1] }
events = 12_000
[bounds]
drain_window_s = 0
"""


def test_a_resumed_run_still_shows_an_earlier_loss_and_repeats_nothing(runs) -> None:
    process = runs.start(
        "run", runs.matrix(MATRIX), "--out", str(runs.folder / "runs"), fault={"role": "worker", "lost": 7}
    )
    deadline = time.monotonic() + 150
    while not list(runs.folder.glob("runs/*/cells/*/1/result.json")):
        assert process.poll() is None, runs.output
        assert time.monotonic() < deadline, runs.output
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = runs.run_dir / "cells" / runs.results()[0]["cell"] / "1" / "result.json"
    written = first.stat().st_mtime_ns
    assert runs.run("resume", str(runs.run_dir)) == 1, runs.output  # with a faultless worker
    assert first.stat().st_mtime_ns == written
    by_round = {each["round"]: each for each in runs.results()}
    assert [by_round[1]["audit"]["lost"], by_round[2]["audit"]["lost"]] == [1, 0]
    assert json.loads((runs.run_dir / "manifest.json").read_text())["status"] == "complete"
    assert runs.run("resume", str(runs.run_dir)) == 1, runs.output  # nothing left to run: the loss is still reported

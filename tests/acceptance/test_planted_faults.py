"""The audit can fail: whole runs of a matrix with a worker that does one thing wrong."""

from __future__ import annotations

import json
import signal
import time

import pytest

EVENTS = 12_000
MATRIX = f"""
name = "faults"
seed = 3
rounds = {{rounds}}
[[cells]]
kind = "drain"
axes = {{{{ partitions = [1], consumers = [1] }}}}
events = {EVENTS}
"""


def test_a_faultless_worker_leaves_nothing_to_find(runs) -> None:
    assert runs.run("run", runs.matrix(MATRIX.format(rounds=1)), "--out", str(runs.folder / "runs")) == 0, runs.output
    (result,) = runs.results()
    assert (result["valid"], result["findings"]) == (True, [])
    audit = result["audit"]
    assert audit["offered"] == audit["accepted"] == audit["stored_accepted"] == audit["compared"] == EVENTS


@pytest.mark.parametrize(
    ("fault", "count", "expected", "words"),
    [
        ("dropped", "lost", 1, "lost (stream/sequence 0/7)"),
        ("copied", "stored_twice", 1, "stored twice (stream/sequence 0/7)"),
        ("wrong-content", "differing", 1, "user_id is 'somebody else'"),
        ("id-from-offset", "differing", EVENTS, "_id is ObjectId"),
    ],
)
def test_a_planted_fault_is_found(runs, fault: str, count: str, expected: int, words: str) -> None:
    assert (
        runs.run("run", runs.matrix(MATRIX.format(rounds=1)), "--out", str(runs.folder / "runs"), fault=fault) == 1
    ), runs.output
    (result,) = runs.results()
    assert result["audit"][count] == expected
    assert any(words in each for each in result["findings"]), result["findings"]
    assert result["audit"]["accepted"] == EVENTS


def test_a_resumed_run_still_shows_an_earlier_loss_and_repeats_nothing(runs) -> None:
    process = runs.start(
        "run", runs.matrix(MATRIX.format(rounds=2)), "--out", str(runs.folder / "runs"), fault="dropped"
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
    assert runs.run("resume", str(runs.run_dir)) == 1, runs.output  # nothing left to run: the loss is still told

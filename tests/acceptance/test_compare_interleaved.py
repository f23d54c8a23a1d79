"""Two variants measured in one session and compared, cut short and gone on with."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

MATRIX = """
name = "pair"
rounds = 2
[bounds]
disturbed_share = 1.0
drain_window_s = 0
[[cells]]
kind = "drain"
fixed = { partitions = 1, consumers = 1 }
events = 20_000
"""


@pytest.mark.slow
def test_a_revision_and_a_setting_are_measured_side_by_side_and_compared(runs) -> None:
    folder = runs.folder / "runs"
    file = runs.matrix(MATRIX)
    code = runs.run("compare", "--ab", file, "HEAD", "batch_max_events=500", "--rounds", "1", "--runs", str(folder))
    assert code == 0, runs.output
    base, new = sorted(folder.iterdir())
    manifests = [json.loads((run / "manifest.json").read_text()) for run in (base, new)]
    assert [manifest["interleaved_with"] for manifest in manifests] == [new.name, base.name]
    assert [manifest["status"] for manifest in manifests] == ["complete", "complete"]
    assert manifests[0]["variant"]["git_revision"] == manifests[0]["git_revision"]
    assert [len(list(run.glob("cells/drain-p1-c1/*/result.json"))) for run in (base, new)] == [1, 1]
    assert "paired by round" in (new / "compare.html").read_text()
    assert "1 round has a valid repeat that tells it in both runs" in runs.output
    listed = subprocess.run(["git", "worktree", "list"], cwd=runs.root, capture_output=True, text=True, check=True)  # noqa: S607 - git of PATH
    assert "tidemark-base-" not in listed.stdout

    shutil.rmtree(new / "cells")
    assert runs.run("resume", str(new)) == 0, runs.output
    assert [len(list(run.glob("cells/drain-p1-c1/*/result.json"))) for run in (base, new)] == [1, 1]
    assert "2 repeats, 1 of them finished before" in runs.output

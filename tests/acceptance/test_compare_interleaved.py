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
    assert "1 round has a valid repeat that has it in both runs" in runs.output
    listed = subprocess.run(["git", "worktree", "list"], cwd=runs.root, capture_output=True, text=True, check=True)  # noqa: S607 - git of PATH
    assert "tidemark-base-" not in listed.stdout

    shutil.rmtree(new / "cells")
    assert runs.run("resume", str(new)) == 0, runs.output
    assert [len(list(run.glob("cells/drain-p1-c1/*/result.json"))) for run in (base, new)] == [1, 1]
    assert "2 repeats, 1 of them finished before" in runs.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "fact", "values"),
    [
        ("coordination=zookeeper", "version of kafka", ("4.3.1", "3.9.2")),
        ('kafka."num.io.threads"=2', "axis kafka.num.io.threads of drain-p1-c1", ("–", "2")),  # noqa: RUF001 - a dash
    ],
)
def test_other_servers_are_measured_beside_those_of_the_matrix_and_said_to_differ(
    runs,
    side: str,
    fact: str,
    values: tuple[str, str],
    parts_are_there: None,  # noqa: ARG001 - asked for what it skips
) -> None:
    for name in ("PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI"):
        runs.environment.pop(name)
    folder, compared = runs.folder / "runs", runs.folder / "compared.json"
    options = ("--rounds", "1", "--runs", str(folder), "--json", str(compared))
    assert runs.run("compare", "--ab", runs.matrix(MATRIX), ".", side, *options) == 0, runs.output
    base, new = (json.loads((run / "manifest.json").read_text()) for run in sorted(folder.iterdir()))
    assert (base["versions"]["kafka"], "zookeeper" in base["versions"]) == ("4.3.1", False)
    assert len(set(base["tokens"])) == len(set(new["tokens"])) == 2, "each side has its servers"
    found = {each["name"]: each for each in json.loads(compared.read_text())["environment"]}
    assert (found[fact]["base"], found[fact]["new"]) == values
    assert "The environments differ" not in runs.output

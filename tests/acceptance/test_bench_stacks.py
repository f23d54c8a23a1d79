"""A run whose cells need different servers: each on its own, and what was observed is of all of them."""

from __future__ import annotations

import json
import time

import pytest

from bench.matrix import matrix
from bench.run import plan

# How busy the machine is and how long a drain lasts is no matter here.
OPEN = "[bounds]\ndisturbed_share = 1.0\nschedule_delay_p99_ms = 60000\ndrain_window_s = 0.01\n"
TUNED = (
    'name = "tuned"\nrounds = 1\n'
    + OPEN
    + '[servers]\nmongod.ttlMonitorSleepSecs = [60, 61]\nkafka."num.io.threads" = 3\n'
    + '[[cells]]\nkind = "drain"\nevents = 10_000\n'
)
REFUSED = (
    'name = "refused"\nseed = 2\nrounds = 1\n'
    '[servers]\nkafka."num.io.threads" = [3, "many"]\n'
    '[[cells]]\nkind = "drain"\nevents = 10_000\n'
)
SEARCHES = (
    'name = "searches"\nrounds = 1\nsearch_s = 60\n'
    + OPEN
    + "[servers]\nmongod.ttlMonitorSleepSecs = [60, 61]\n"
    + '[[cells]]\nkind = "capacity"\nwarmup_s = 0\nduration_s = 8\nstart_load = 200\nfixed = { partitions = 1 }\n'
)
SHAPES = (
    'name = "shapes"\nrounds = 1\n'
    + OPEN
    + '[[cells]]\nkind = "drain"\nevents = 10_000\nfixed = { partitions = 1 }\n'
    + "axes = { brokers = [1], coordination = ['kraft', 'zookeeper'], mongo_members = [1] }\n"
    + '[[cells]]\nkind = "drain"\nevents = 10_000\nfixed = { partitions = 1 }\n'
    + "axes = { brokers = [3], coordination = ['kraft', 'zookeeper'], mongo_members = [3] }\n"
    + '[[cells]]\nkind = "steady"\nwarmup_s = 1\nduration_s = 3\noffered_load = 500\nfixed = { partitions = 1 }\n'
    + "axes = { brokers = [3], mongo_members = [3] }\n"
)


def on_servers_of_its_own(runs) -> None:
    for name in ("PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI"):
        runs.environment.pop(name)


def measured(runs, text: str) -> dict:
    """Run a matrix; return the manifest."""
    on_servers_of_its_own(runs)
    assert runs.run("run", runs.matrix(text), "--ceilings", "never", "--out", str(runs.folder / "runs")) == 0, (
        runs.output
    )
    return json.loads((runs.run_dir / "manifest.json").read_text())


@pytest.mark.slow
def test_cells_that_differ_in_a_setting_of_a_server_run_on_servers_of_their_own(
    runs,
    parts_are_there: None,  # noqa: ARG001 - asked for what it skips
) -> None:
    manifest = measured(runs, TUNED)
    results = runs.results()
    assert all(result["valid"] and result["audit"]["lost"] == 0 for result in results)
    assert {result["axes"]["mongod.ttlMonitorSleepSecs"] for result in results} == {60, 61}
    assert [stack["mongod"] for stack in manifest["stacks"] if stack["cells"]] == [
        {"ttlMonitorSleepSecs": 60},
        {"ttlMonitorSleepSecs": 61},
    ]
    assert len(set(manifest["tokens"])) == 2
    logs = list((runs.run_dir / "logs").glob("*/mongod.log"))
    said = sorted(
        slept for log in logs for slept in ("60", "61") if f'"ttlMonitorSleepSecs":"{slept}"' in log.read_text()
    )
    assert said == ["60", "61"]


def test_a_value_that_a_later_stack_does_not_take_ends_the_run_before_its_first_repeat(
    runs,
    parts_are_there: None,  # noqa: ARG001 - as above
) -> None:
    """Its cell is the last in the plan, and nothing has been measured when it is named."""
    on_servers_of_its_own(runs)
    path = runs.matrix(REFUSED)
    *_, last = plan.order(matrix.load(path))
    assert last.cell.kafka == (("num.io.threads", "many"),)
    out = str(runs.folder / "runs")
    assert runs.run("run", path, "--ceilings", "never", "--out", out) == 2, runs.output
    assert f"the servers of the cell {last.cell.id} (1 broker (KRaft), 1 mongod, num.io.threads=many)" in runs.output
    assert "Invalid value many for configuration num.io.threads" in runs.output
    assert "Write another value for it, or leave it out" in runs.output
    assert "nothing was measured; what the servers printed is in" in runs.output
    assert "bench resume" not in runs.output
    assert runs.results() == []


@pytest.mark.slow
def test_every_shape_of_servers_is_measured_in_one_run(
    runs,
    parts_are_there: None,  # noqa: ARG001 - as above
) -> None:
    manifest = measured(runs, SHAPES)
    results = runs.results()
    assert len(results) == 5
    for result in results:
        assert result["valid"], result["reasons"]
        assert (result["audit"]["lost"], result["audit"]["stored_twice"], result["findings"]) == (0, 0, [])
        assert result["audit"]["stored_accepted"] == result["audit"]["accepted"] > 0
        assert result["kafka_use"]["messages_in_per_s"] is not None
        assert result["mongodb_use"]["inserts_per_s"] is not None
    versions = {(stack["coordination"], stack["versions"]["kafka"]) for stack in manifest["stacks"] if stack["cells"]}
    assert versions == {("kraft", "4.3.1"), ("zookeeper", "3.9.2")}
    assert len(manifest["tokens"]) == 4, "each stack is started once"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_searches_on_two_stacks_share_the_time_and_an_interrupted_run_resumes(
    runs,
    parts_are_there: None,  # noqa: ARG001 - as above
) -> None:
    on_servers_of_its_own(runs)
    bench = runs.start("run", runs.matrix(SEARCHES), "--ceilings", "never", "--out", str(runs.folder / "runs"))
    deadline = time.monotonic() + 280
    while not list(runs.folder.glob("runs/*/cells/capacity*/capacity.json")):
        assert bench.poll() is None, runs.output
        assert time.monotonic() < deadline, runs.output
        time.sleep(0.1)
    bench.terminate()
    assert bench.wait(timeout=100) == 130, runs.output
    assert runs.run("resume", str(runs.run_dir)) in (0, 1, 4), runs.output
    manifest = json.loads((runs.run_dir / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert len(set(manifest["tokens"])) >= 2, "each stack had a session of its own"
    found = [json.loads(path.read_text()) for path in runs.run_dir.glob("cells/capacity*/capacity.json")]
    assert len(found) == 2
    for each in found:
        assert each["ended"]  # in words: on a busy machine it may be that nothing was sustained
        assert len(list((runs.run_dir / "cells" / each["cell"]).glob("*/result.json"))) >= 3

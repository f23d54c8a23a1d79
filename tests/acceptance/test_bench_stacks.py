"""A run whose cells need different servers: each on its own, and what was observed is of all of them."""

from __future__ import annotations

import json

import pytest

# How busy the machine is and how long a drain lasts is no matter here.
OPEN = "[bounds]\ndisturbed_share = 1.0\nschedule_delay_p99_ms = 60000\ndrain_window_s = 0.01\n"
TUNED = (
    'name = "tuned"\nrounds = 1\n'
    + OPEN
    + '[servers]\nmongod.ttlMonitorSleepSecs = [60, 61]\nkafka."num.io.threads" = 3\n'
    + '[[cells]]\nkind = "drain"\nevents = 10_000\n'
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
    """Run a matrix; give the manifest."""
    on_servers_of_its_own(runs)
    assert runs.run("run", runs.matrix(text), "--ceilings", "never", "--out", str(runs.folder / "runs")) == 0, (
        runs.output
    )
    return json.loads((runs.run_dir / "manifest.json").read_text())


def test_cells_that_differ_in_a_setting_of_a_server_run_on_servers_of_their_own(
    runs,
    parts_are_there: None,  # noqa: ARG001 - asked for what it skips
) -> None:
    told = measured(runs, TUNED)
    results = runs.results()
    assert all(result["valid"] and result["audit"]["lost"] == 0 for result in results)
    assert {result["axes"]["mongod.ttlMonitorSleepSecs"] for result in results} == {60, 61}
    assert [stack["mongod"] for stack in told["stacks"] if stack["cells"]] == [
        {"ttlMonitorSleepSecs": 60},
        {"ttlMonitorSleepSecs": 61},
    ]
    assert len(set(told["tokens"])) == 2
    logs = list((runs.run_dir / "logs").glob("*/mongod.log"))
    said = sorted(
        slept for log in logs for slept in ("60", "61") if f'"ttlMonitorSleepSecs":"{slept}"' in log.read_text()
    )
    assert said == ["60", "61"]


@pytest.mark.slow
def test_every_shape_of_servers_is_measured_in_one_run(
    runs,
    parts_are_there: None,  # noqa: ARG001 - as above
) -> None:
    told = measured(runs, SHAPES)
    results = runs.results()
    assert len(results) == 5
    for result in results:
        assert result["valid"], result["reasons"]
        assert (result["audit"]["lost"], result["audit"]["stored_twice"], result["findings"]) == (0, 0, [])
        assert result["audit"]["stored_accepted"] == result["audit"]["accepted"] > 0
        assert result["kafka_use"]["messages_in_per_s"] is not None
        assert result["mongodb_use"]["inserts_per_s"] is not None
    versions = {(stack["coordination"], stack["versions"]["kafka"]) for stack in told["stacks"] if stack["cells"]}
    assert versions == {("kraft", "4.3.1"), ("zookeeper", "3.9.2")}
    assert len(told["tokens"]) == 4, "each stack is started once"

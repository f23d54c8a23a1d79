"""The bench outlives what its system outlives; what it cannot outlive it names, and can be resumed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.local.stack import LocalStack
from pipeline.settings import Local

# How busy the machine is and how long a drain lasts is no matter here.
OPEN = "[bounds]\ndisturbed_share = 1.0\nschedule_delay_p99_ms = 60000\ndrain_window_s = 0.1\n"
DRAIN = '[[cells]]\nkind = "drain"\nfixed = { partitions = 1, consumers = 1 }\nevents = 20_000\n'
STEADY = (
    '[[cells]]\nkind = "steady"\nfixed = { partitions = 1, consumers = 1 }\nwarmup_s = 1\nduration_s = 8\n'
    "offered_load = 200\n"
)
HEAD = f'name = "outlasting"\nrounds = 1\n{OPEN}'


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


def working(runs) -> bool:
    """Whether a worker of the first attempt has begun to store."""
    logs = list(runs.folder.glob("runs/*/cells/*/1.partial/worker-1.log"))
    return any(log.stat().st_size > 500 for log in logs)


@pytest.mark.parametrize("server", ["kafka", "mongod"])
def test_a_repeat_during_which_a_server_is_away_for_a_while_is_audited(
    runs,
    server: str,
    tmp_path: Path,
    parts_are_there: None,  # noqa: ARG001 - asked for what it skips
) -> None:
    with LocalStack(Local(), logs_dir=tmp_path / "servers") as stack:
        runs.environment |= {
            "PIPELINE_KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
            "PIPELINE_MONGO_URI": stack.mongo_uri,
        }
        out = str(runs.folder / "runs")
        bench = runs.start("run", runs.matrix(HEAD + STEADY), "--ceilings", "never", "--out", out)
        wait_for(lambda: working(runs) or bench.poll() is not None, "a worker stores")
        victim = stack.kafka if server == "kafka" else stack.mongod
        victim.kill()
        time.sleep(2)
        victim.start()
        bench.wait(timeout=200)
    first = runs.results()[0]
    assert "the repeat broke down before it could be measured" not in first["reasons"], runs.output
    audit = first["audit"]
    assert audit["accepted"] == audit["stored_accepted"] + audit["dead_lettered"] + audit["undrained"] + audit["lost"]
    assert audit["accepted"] > 0
    assert (audit["lost"], audit["stored_twice"]) == (0, 0)


def test_a_server_of_the_run_that_dies_is_named_and_the_run_can_be_resumed(
    runs,
    parts_are_there: None,  # noqa: ARG001 - as above
) -> None:
    for name in ("PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI"):
        runs.environment.pop(name)
    out = str(runs.folder / "runs")
    bench = runs.start("run", runs.matrix(HEAD + DRAIN), "--ceilings", "never", "--out", out)
    wait_for(lambda: bool(list(runs.folder.glob("runs/*/cells/*/1.partial"))) or bench.poll() is not None, "it runs")
    (mongod,) = [each for each in psutil.Process(bench.pid).children(recursive=True) if each.name() == "mongod"]
    mongod.kill()
    assert bench.wait(timeout=200) == 2, runs.output
    assert "mongod, which was started for this run, ended with exit code -9" in runs.output
    assert "logs/mongod.log, which ends with" in runs.output
    manifest = json.loads((runs.run_dir / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert manifest["stopped"].startswith("mongod, which was started for this run")
    assert runs.results() == []
    assert runs.run("resume", str(runs.run_dir)) == 0, runs.output
    assert runs.results()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "named"), [("kafka-2", "Kafka broker 2"), ("mongodb-2", "mongod-2"), ("zookeeper", "ZooKeeper")]
)
def test_one_of_several_servers_that_dies_ends_the_run_as_the_only_one_would(
    runs,
    victim: str,
    named: str,
    parts_are_there: None,  # noqa: ARG001 - as above
) -> None:
    """The others would go on; but what was measured is then no longer what the matrix asks for."""
    for name in ("PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI"):
        runs.environment.pop(name)
    out = str(runs.folder / "runs")
    chosen = ("--brokers", "3", "--coordination", "zookeeper", "--mongo-members", "3")
    bench = runs.start("run", runs.matrix(HEAD + STEADY), "--ceilings", "never", "--out", out, *chosen)
    wait_for(lambda: working(runs) or bench.poll() is not None, "a worker stores")
    (process,) = [each for each in psutil.Process(bench.pid).children(recursive=True) if is_server(each, victim)]
    process.kill()
    assert bench.wait(timeout=200) == 2, runs.output
    assert f"{named}, which was started for this run, ended with exit code -9 (killed" in runs.output
    assert "continue with: ./tidemark bench resume" in runs.output
    assert "Traceback" not in runs.output
    assert json.loads((runs.run_dir / "manifest.json").read_text())["stopped"].startswith(named)
    assert runs.results() == []


def is_server(process: psutil.Process, name: str) -> bool:
    """Whether it is the server whose data folder is named so, and not the guard before it."""
    return f"{name}-data-" in process.cwd() and process.name() in ("java", "mongod")


def test_a_killed_run_is_resumed_under_other_names_and_finds_nothing_of_its_first_try(runs) -> None:
    out = str(runs.folder / "runs")
    bench = runs.start("run", runs.matrix(HEAD + DRAIN), "--ceilings", "never", "--out", out)
    wait_for(lambda: working(runs) or bench.poll() is not None, "a worker stores")
    os.kill(bench.pid, signal.SIGKILL)
    bench.wait(timeout=100)
    assert runs.run("resume", str(runs.run_dir)) == 0, runs.output
    *_, last = results = runs.results()
    assert last["valid"]
    for result in results:
        assert result["findings"] == []
        assert (result["audit"]["stored_twice"], result["audit"]["foreign"]) == (0, 0)
    tokens = json.loads((runs.run_dir / "manifest.json").read_text())["tokens"]
    assert len(set(tokens)) == 2

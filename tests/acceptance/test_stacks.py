"""The whole pipeline on each kind of servers: the seed's own example, and what several servers are for."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError

import psutil
import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from pipeline import provision
from pipeline.commands.supervision import child_environment
from pipeline.local import jars, kafkasettings, programs, zookeeper
from pipeline.local.jars import cache_folder
from pipeline.local.stack import LocalStack
from pipeline.local.stackspec import Coordination, StackSpec
from pipeline.settings import Kafka, Local, Settings
from pipeline.settings import load as load_settings
from tests.integration.pipeline.commands.test_up import FREE_PORTS, SEED_EVENT, Up, post, running, wait_until

pytestmark = pytest.mark.usefixtures("parts_are_there")
BATCH = 50


@contextlib.contextmanager
def up_on(folder: Path, *arguments: str) -> Iterator[Up]:
    """A running ``up`` on free ports, everything started."""
    options = [*FREE_PORTS, "--zookeeper-port", "0", *arguments]
    with running(Up(folder, child_environment(Settings()), *options)) as up:
        up.wait_until_up()
        yield up


def place(up: Up, name: str) -> str:
    """Where a part is, as ``up`` says."""
    found = re.search(rf"^{name} +((?:http|mongodb|127)\S+)", up.printed(), re.MULTILINE)
    assert found, up.printed()
    return found[1]


def expect_the_seed_s_example(up: Up) -> None:
    """It is accepted, stored, found by the command that is printed, and shown by the dashboard."""
    assert post(place(up, "API"), SEED_EVENT) == b'{"status":"ok"}'
    with MongoClient(place(up, "MongoDB")) as client:
        events = client["analytics"]["analytics_events"]
        wait_until(lambda: events.count_documents({}) == 1, "stored")
        stored = events.find_one() or {}
        indexes = {tuple(index["key"].items()) for index in events.list_indexes()}
    assert set(stored) == {"_id", "event_type", "user_id", "props", "timestamp"}
    assert isinstance(stored["_id"], ObjectId)
    assert (stored["event_type"], stored["user_id"]) == ("page_view", "123")
    assert stored["props"] == {"url": "/home", "referrer": "google"}
    assert indexes >= {(("event_type", 1),), (("user_id", 1),), (("timestamp", -1),)}
    (found,) = found_by_the_printed_command(up)
    assert (found["_id"], found["props"]) == ({"$oid": str(stored["_id"])}, stored["props"])
    wait_until(lambda: re.search("accepted 1 +stored 1 +backlog 0", up.printed()) is not None, "it is shown")
    wait_until(lambda: counted(up) == (1, 1, 1), "the dashboard shows it: counted, accepted and stored")


def found_by_the_printed_command(up: Up) -> list[dict[str, Any]]:
    """What ``find`` prints, called as ``up`` says."""
    said = re.search(r"^look at it: +(.*)\./tidemark (find .*)$", up.printed(), re.MULTILINE)
    assert said, up.printed()
    command = f"{said[1]}{shlex.quote(sys.executable)} -m pipeline {said[2]}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)  # noqa: S602  as a person does it
    return [json.loads(line) for line in done.stdout.splitlines()]


def counted(up: Up) -> tuple[int | None, ...]:
    """What the dashboard says, asked with the token that is printed: events today, accepted, stored."""
    said = re.search(r"^watch it: +(http://127\.0\.0\.1:\d+/)\?token=(\S+)$", up.printed(), re.MULTILINE)
    assert said, up.printed()
    request = urllib.request.Request(f"{said[1]}snapshot", headers={"Authorization": f"Bearer {said[2]}"})  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  likewise
        shown = json.load(response)
    paths = (("activity", "today", "events"), ("health", "accepted"), ("stored", "events"))
    return tuple(functools.reduce(lambda part, name: part and part[name], path, shown) for path in paths)


def end(up: Up) -> None:
    """Ctrl-C; everything ends, first what takes events, last what keeps them."""
    started = up.descendants()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0, up.printed()
    assert not psutil.wait_procs(started, timeout=5)[1]
    order = [up.printed().index(text) for text in ("the API drains", "the workers finish", "Kafka and MongoDB end")]
    assert order == sorted(order)


def topics_of(servers: str) -> dict[str, list[dict[str, Any]]]:
    """The partitions of every topic of events: leader, replicas and those in sync."""

    async def describe() -> dict[str, list[dict[str, Any]]]:
        async with provision.admin_client(Kafka(bootstrap_servers=servers)) as client:
            described = await client.describe_topics()
        return {each["topic"]: each["partitions"] for each in described if each["topic"].startswith("events_")}

    return asyncio.run(describe())


def in_zookeeper(address: str, *command: str) -> str:
    """What ZooKeeper's own shell prints of its data."""
    found = jars.kafka_jars(jars.cache_folder(""), print, version=kafkasettings.VERSION_WITH_ZOOKEEPER)
    java = programs.find_java(Local()).path
    shell = [java, "-cp", f"{found[0].parent}/*", "org.apache.zookeeper.ZooKeeperMain", "-server", address, *command]
    return subprocess.run(shell, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize(
    "stack",
    [
        pytest.param((1, "kraft", 1), id="one broker"),
        pytest.param((1, "zookeeper", 1), id="ZooKeeper", marks=pytest.mark.slow),
        pytest.param((3, "kraft", 3), id="three brokers and members", marks=pytest.mark.slow),
        pytest.param((3, "zookeeper", 3), id="three brokers and members, ZooKeeper", marks=pytest.mark.slow),
    ],
)
def test_the_main_path_from_the_seed_s_example_to_a_worker_that_is_killed_under_load(
    stack: tuple[int, Coordination, int], tmp_path: Path
) -> None:
    brokers, coordination, members = stack
    chosen = ("--brokers", str(brokers), "--coordination", coordination, "--mongo-members", str(members))
    with up_on(tmp_path, *chosen, "--workers", "2") as up:
        expect_the_seed_s_example(up)
        for partitions in topics_of(place(up, "Kafka")).values():
            assert [len(each["isr"]) for each in partitions] == [brokers] * 3
        if coordination == "zookeeper":
            expect_zookeeper_to_know(set(range(1, brokers + 1)), up)

        with Load(place(up, "API")) as load:
            load.grows(500)
            up.child("worker").kill()
            load.grows(500)
        expect_each_accepted_event_stored_once(load, up)
        assert "died (exit code -9" in up.printed()
        end(up)


def expect_zookeeper_to_know(brokers: set[int], up: Up) -> None:
    """Its own shell shows the brokers and the controller."""
    address = place(up, "ZooKeeper")
    assert str(sorted(brokers)) in in_zookeeper(address, "ls", "/brokers/ids").splitlines()
    controller = next(line for line in in_zookeeper(address, "get", "/controller").splitlines() if line[:1] == "{")
    assert json.loads(controller)["brokerid"] in brokers
    assert "3.9.2, topics events_page_view" in up.printed()
    assert "zookeeper.log" in {path.name for path in up.logs.iterdir()}


class Load:
    """Batches of numbered events, sent one after the other until asked to stop; which were accepted is known."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.accepted: set[int] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def grows(self, by: int) -> None:
        """Wait until so many more were accepted."""
        wanted = len(self.accepted) + by
        wait_until(lambda: len(self.accepted) >= wanted, f"{by} more events were accepted")

    def _send(self) -> None:
        for first in itertools.count(step=BATCH):
            if self._ended.is_set():
                return
            batch = range(first, first + BATCH)
            time.sleep(0.01)
            events = [{"event": "page_view", "user_id": str(each % 97), "props": {"n": each}} for each in batch]
            try:
                answer = json.loads(self._post(events))
            except (URLError, OSError):
                continue  # refused, or in doubt: nobody was promised that it is safe
            rejected = {each["index"] for each in answer.get("rejected", [])}
            self.accepted |= {each for place, each in enumerate(batch) if place not in rejected}

    def _post(self, events: list[dict[str, Any]]) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/track/batch", json.dumps(events).encode(), headers)  # noqa: S310  loopback
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  likewise
            return bytes(response.read())


def expect_each_accepted_event_stored_once(load: Load, up: Up) -> None:
    """What was in doubt may be there as well."""
    with MongoClient(place(up, "MongoDB")) as client:
        events = client["analytics"]["analytics_events"]
        ours = {"props.n": {"$exists": True}}
        wait_until(lambda: load.accepted <= {each["props"]["n"] for each in events.find(ours)}, "all are stored")
        numbers = [each["props"]["n"] for each in events.find(ours)]
    assert len(numbers) == len(set(numbers)), "an event was stored twice"


def kill_the_leader(up: Up) -> int:
    """Kill the broker that leads the first partition; return its number."""
    leader = int(topics_of(place(up, "Kafka"))["events_page_view"][0]["leader"])
    (process,) = [each for each in up.descendants() if f"kafka-{leader}-data-" in each.cwd() and each.name() == "java"]
    process.kill()
    return leader


def kill_the_primary(up: Up, client: MongoClient[Any]) -> tuple[str, int]:
    """Kill the member that is primary; return its address."""
    found = client.primary
    assert found
    (process,) = [each for each in up.descendants() if each.name() == "mongod" and str(found[1]) in each.cmdline()]
    process.kill()
    return found


@pytest.mark.slow
def test_on_three_brokers_and_three_members_nothing_accepted_is_lost_when_leader_and_primary_go(
    tmp_path: Path,
) -> None:
    """A broker is killed, the primary steps down, and the next one is killed."""
    with up_on(tmp_path, "--brokers", "3", "--mongo-members", "3") as up:
        with MongoClient(place(up, "MongoDB")) as client, Load(place(up, "API")) as load:
            load.grows(500)
            leader = kill_the_leader(up)
            load.grows(500)

            first = client.primary
            with contextlib.suppress(AutoReconnect):  # some versions close the connection in place of an answer
                client.admin.command("replSetStepDown", 60, secondaryCatchUpPeriodSecs=20)
            wait_until(lambda: primary(client) not in (first, None), "a new primary")
            load.grows(500)

            killed = kill_the_primary(up, client)
            load.grows(500)
            wait_until(lambda: primary(client) not in (killed, None), "another primary")
            load.grows(500)
        expect_each_accepted_event_stored_once(load, up)
        assert f"Kafka broker {leader} died (exit code -9); the 2 others go on" in up.printed()
        assert re.search(r"mongod-\d died \(exit code -9\); the 2 others go on", up.printed())
        end(up)


def primary(client: MongoClient[Any]) -> tuple[str, int] | None:
    """The member that is primary now, as far as the client can know."""
    try:
        client.admin.command("ping")
    except AutoReconnect:
        return None
    return client.primary


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["while it starts", "when a broker has died"])
def test_nothing_outlives_an_up_of_seven_servers_that_is_killed(moment: str, tmp_path: Path) -> None:
    cache = cache_folder(load_settings(os.environ).local.cache_dir)
    before = set(cache.glob("*-data-*"))
    options = ("--brokers", "3", "--coordination", "zookeeper", "--mongo-members", "3", "--zookeeper-port", "0")
    with running(Up(tmp_path, child_environment(Settings()), *FREE_PORTS, *options)) as up:
        if moment == "when a broker has died":  # which has no guard any more
            up.wait_until_up()
            leader = kill_the_leader(up)
            wait_until(lambda: f"Kafka broker {leader} died" in up.printed(), "up names the dead broker")
        else:
            wait_until(lambda: "kafka.Kafka" in str([each.cmdline() for each in up.descendants()]), "a broker starts")
        started = up.descendants()
        made = set(cache.glob("*-data-*")) - before
        assert len(made) >= 7
        up.process.kill()
        assert not psutil.wait_procs(started, timeout=60)[1]
    wait_until(lambda: not any(folder.exists() for folder in made), "the guards removed the data")


@pytest.mark.slow
def test_a_broker_that_was_killed_comes_back_to_zookeeper_under_its_number(tmp_path: Path) -> None:
    spec = StackSpec(brokers=3, coordination="zookeeper")
    with LocalStack(Local(), logs_dir=tmp_path, spec=spec) as stack:
        assert zookeeper.registered_brokers(stack.zookeeper_port) == {1, 2, 3}
        stack.brokers[1].kill()
        stack.start_broker_again(2)
        assert zookeeper.registered_brokers(stack.zookeeper_port) == {1, 2, 3}
        address = f"127.0.0.1:{stack.zookeeper_port}"
        assert "[1, 2, 3]" in in_zookeeper(address, "ls", "/brokers/ids").splitlines()
        assert {path.name for path in tmp_path.iterdir()} == {
            *(f"kafka-{number}.log" for number in (1, 2, 3)),
            "zookeeper.log",
            "mongod.log",
        }


@pytest.mark.slow
def test_a_member_that_was_killed_is_a_member_again_with_all_that_was_written(tmp_path: Path) -> None:
    with (
        LocalStack(Local(), logs_dir=tmp_path, spec=StackSpec(mongo_members=3)) as stack,
        MongoClient(stack.mongo_uri, w="majority", journal=True) as client,
    ):
        client["kept"]["things"].insert_one({"_id": 1})
        _, port = client.primary or ("", 0)
        number = 1 + [uri.endswith(f":{port}/?directConnection=true") for uri in stack.mongo_member_uris].index(True)
        stack.members[number - 1].kill()
        client["kept"]["things"].insert_one({"_id": 2})
        stack.start_member_again(number)
        with MongoClient(stack.mongo_member_uris[number - 1]) as member:
            wait_until(lambda: member["kept"]["things"].count_documents({}) == 2, "it has caught up")

"""``./tidemark up`` and the commands beside it, as a person runs them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from msgspec import structs
from pymongo import MongoClient

from pipeline import provision
from pipeline import settings as pipeline_settings
from pipeline.commands.supervision import child_environment
from pipeline.settings import Settings
from tests import database

WAIT_S = 60.0
FREE_PORTS = ["--api-port", "0", "--dashboard-port", "0", "--kafka-port", "0", "--mongo-port", "0"]
SEED_EVENT = {"event": "page_view", "user_id": "123", "props": {"url": "/home", "ref": "google"}}


class Up:
    """A running ``up``: its process, what it printed so far, and what it started."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        self.printed_path = folder / "printed"
        self.logs = folder / "logs"
        command = [sys.executable, "-m", "pipeline", "up", "--logs", str(self.logs), *arguments]
        with self.printed_path.open("wb") as printed:
            self.process = subprocess.Popen(command, env=environment, stdout=printed, stderr=printed)

    def printed(self) -> str:
        return self.printed_path.read_text()

    def wait_until_up(self) -> str:
        """Return the API's URL."""
        wait_until(lambda: "try it:" in self.printed() or self.process.poll() is not None, "it was up")
        found = re.search(r"^API +(http://127\.0\.0\.1:\d+)", self.printed(), re.MULTILINE)
        assert found, self.printed()
        return found[1]

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, command: str) -> psutil.Process:
        """The process that runs ``-m pipeline`` with ``command``."""
        return next(each for each in self.descendants() if each.cmdline()[1:] == ["-m", "pipeline", command])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S:g} s in vain until {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def running(up: Up) -> Iterator[Up]:
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.kill()
        up.process.wait()


def post(url: str, event: object) -> bytes:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/track", json.dumps(event).encode(), headers)  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=WAIT_S) as response:  # noqa: S310  likewise
        return bytes(response.read())


def on(settings: Settings) -> dict[str, str]:
    """An environment in which ``up`` uses the servers and names of this test."""
    environment = child_environment(settings)
    kafka = settings.kafka.bootstrap_servers
    return {**environment, "PIPELINE_KAFKA_BOOTSTRAP_SERVERS": kafka, "PIPELINE_MONGO_URI": settings.mongo.uri}


@pytest.mark.usefixtures("parts_are_there")
def test_ctrl_c_while_it_starts_ends_what_was_started(tmp_path: Path) -> None:
    with running(Up(tmp_path, child_environment(Settings()), *FREE_PORTS)) as up:
        wait_until(lambda: any(each.name() == "mongod" for each in up.descendants()), "mongod was started")
        started = up.descendants()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(WAIT_S) == 130
        assert not psutil.wait_procs(started, timeout=5)[1]
    assert "Traceback" not in up.printed()


def test_on_servers_of_the_users_own_nothing_but_our_own_parts_is_started(settings: Settings, tmp_path: Path) -> None:
    with running(Up(tmp_path, on(settings), "--dashboard-port", "0", "--api-port", "0")) as up:
        post(up.wait_until_up(), SEED_EVENT)
        with MongoClient(settings.mongo.uri) as client:
            events = client[settings.mongo.database][settings.mongo.collection]
            wait_until(lambda: events.count_documents({}) == 1, "it was stored")
        started = up.descendants()
        assert not [each for each in started if "mongod" in each.name() or each.name() == "java"]
        up.process.terminate()
        assert up.process.wait(WAIT_S) == 0
        assert not psutil.wait_procs(started, timeout=5)[1]


@pytest.mark.parametrize(("options", "status"), [((), 200), pytest.param(("--no-demo",), 404, marks=pytest.mark.slow)])
def test_the_shop_is_there_unless_it_is_left_out(
    settings: Settings, tmp_path: Path, options: tuple[str, ...], status: int
) -> None:
    with running(Up(tmp_path, on(settings), "--api-port", "0", *options)) as up:
        shop = f"{up.wait_until_up()}/demo"
        try:
            found = urllib.request.urlopen(shop, timeout=WAIT_S).status  # noqa: S310  likewise
        except urllib.error.HTTPError as error:
            found = error.code
        assert found == status
        assert (f"in a browser:  {shop}" in up.printed()) is (status == 200)


async def test_a_message_of_another_producer_is_stored_too(settings: Settings, tmp_path: Path) -> None:
    with running(Up(tmp_path, on(settings), "--dashboard-port", "0", "--api-port", "0")) as up:
        up.wait_until_up()
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers)
        await producer.start()
        message = {**SEED_EVENT, "timestamp": "2025-11-26T12:00:00Z"}
        await producer.send_and_wait(settings.kafka.topic_prefix + "page_view", json.dumps(message).encode())
        await producer.stop()
        with MongoClient(settings.mongo.uri) as client:
            events = client[settings.mongo.database][settings.mongo.collection]
            wait_until(lambda: events.count_documents({"user_id": "123"}) == 1, "it was stored")


@pytest.mark.slow
def test_a_worker_that_dies_is_reported_and_started_again(settings: Settings, tmp_path: Path) -> None:
    with running(Up(tmp_path, on(settings), "--dashboard-port", "0", "--api-port", "0")) as up:
        url = up.wait_until_up()
        up.child("worker").kill()
        wait_until(lambda: "worker-1 died (exit code -9" in up.printed(), "it was reported")
        post(url, SEED_EVENT)
        with MongoClient(settings.mongo.uri) as client:
            events = client[settings.mongo.database][settings.mongo.collection]
            wait_until(lambda: events.count_documents({}) == 1, "another worker stored it")


def test_nothing_outlives_an_up_that_was_killed(settings: Settings, tmp_path: Path) -> None:
    with running(Up(tmp_path, on(settings), "--dashboard-port", "0", "--api-port", "0", "--workers", "2")) as up:
        up.wait_until_up()
        started = up.descendants()
        up.process.kill()
        assert not psutil.wait_procs(started, timeout=WAIT_S)[1]


def test_a_taken_port_is_named_with_its_option_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with running(
            Up(tmp_path, child_environment(Settings()), "--dashboard-port", "0", "--api-port", str(port))
        ) as up:
            assert up.process.wait(WAIT_S) == 2
    assert f"port {port} for the API is taken" in up.printed()
    assert "--api-port" in up.printed()
    assert "Traceback" not in up.printed()


def test_up_needs_both_servers_of_the_user_or_none(tmp_path: Path) -> None:
    environment = {**child_environment(Settings()), "PIPELINE_MONGO_URI": "mongodb://127.0.0.1:1/"}
    with running(Up(tmp_path, environment, "--dashboard-port", "0", "--api-port", "0")) as up:
        assert up.process.wait(WAIT_S) == 2
    assert "PIPELINE_KAFKA_BOOTSTRAP_SERVERS" in up.printed()


def pipeline(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)


async def test_check_names_what_is_missing_and_init_creates_it(settings: Settings) -> None:
    await provision.delete_topics(settings.kafka)
    await database.drop(settings.mongo)
    generic = settings.kafka.topic_prefix + settings.kafka.generic_type

    before = pipeline(on(settings), "check", "--no-api")
    assert before.returncode == 1
    assert f"NOT OK  topic {generic}" in before.stdout
    assert "NOT OK  index timestamp: -1: missing" in before.stdout
    assert "tidemark init" in before.stdout

    made = pipeline(on(settings), "init")
    assert (made.returncode, f"topic {generic}: made" in made.stdout) == (0, True)
    again = pipeline(on(settings), "init")
    assert (again.returncode, f"topic {generic}: was there" in again.stdout) == (0, True)

    after = pipeline(on(settings), "check", "--no-api")
    assert after.returncode == 0
    assert "writable, replica set" in after.stdout


def test_check_names_each_part_that_is_not_reachable(settings: Settings) -> None:
    away = structs.replace(
        settings,
        kafka=structs.replace(settings.kafka, bootstrap_servers="127.0.0.1:1"),
        mongo=structs.replace(settings.mongo, uri="mongodb://me:secret@127.0.0.1:1/", timeout_ms=300),
        api=structs.replace(settings.api, port=1),
    )
    ran = pipeline(on(away), "check")
    assert ran.returncode == 1
    assert ran.stdout.count("NOT OK") == 3
    for name in ("PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI", "PIPELINE_API_PORT"):
        assert name in ran.stdout
    assert "secret" not in ran.stdout + ran.stderr


def test_a_child_has_the_settings_and_nothing_of_a_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_SETTINGS_FILE", "/no/such/file")
    wanted = structs.replace(Settings(), kafka=structs.replace(Settings().kafka, event_types=("a", "b"), partitions=7))
    environment = child_environment(wanted)
    assert pipeline_settings.load(environment) == wanted
    assert environment["PATH"] == os.environ["PATH"]


def test_with_a_token_of_the_users_own_none_is_printed_and_without_a_dashboard_none_runs(
    settings: Settings, tmp_path: Path
) -> None:
    environment = {**on(settings), "PIPELINE_DASHBOARD_TOKEN": "sixteen-characters"}
    with running(Up(tmp_path, environment, "--dashboard-port", "0", "--api-port", "0")) as up:
        up.wait_until_up()
        assert "watch it:" in up.printed()
        assert "sixteen-characters" not in up.printed()
        assert up.child("dashboard").is_running()
    with running(Up(tmp_path, on(settings), "--no-dashboard", "--api-port", "0")) as up:
        up.wait_until_up()
        assert "watch it:" not in up.printed()
        assert not [each for each in up.descendants() if "dashboard" in each.cmdline()]

"""The local Kafka and MongoDB as a whole: ready, restarted, kept, and gone when they should be."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import structs
from pymongo import MongoClient, WriteConcern

from pipeline import provision
from pipeline.errors import MissingPartError, UsageError
from pipeline.local import jars, ports, programs
from pipeline.local.stack import LocalStack
from pipeline.settings import Kafka, Local

WAIT_S = 60.0
pytestmark = pytest.mark.usefixtures("parts_are_there")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S:g} s in vain until {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, parts_are_there: None) -> Iterator[LocalStack]:  # noqa: ARG001  asked for what it skips
    with LocalStack(Local(), logs_dir=tmp_path_factory.mktemp("logs")) as started:
        yield started


async def produce(stack: LocalStack, topic: str, value: bytes) -> int:
    """Send one message, not for ever, and return its offset."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka_bootstrap_servers, enable_idempotence=True)
    await producer.start()
    try:
        return (await asyncio.wait_for(producer.send_and_wait(topic, value, partition=0), WAIT_S)).offset
    finally:
        await producer.stop()


async def consume(stack: LocalStack, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=stack.kafka_bootstrap_servers, group_id=topic, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        return [(await asyncio.wait_for(consumer.getone(), WAIT_S)).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_a_restarted_broker_has_what_it_had(stack: LocalStack) -> None:
    kafka = Kafka(bootstrap_servers=stack.kafka_bootstrap_servers, topic_prefix="restart_", partitions=1)
    asyncio.run(provision.create_topics(kafka))
    asyncio.run(produce(stack, "restart_signup", b"before"))

    stack.kafka.kill()
    assert not stack.kafka.running()
    stack.kafka.start()
    stack.wait_for_kafka()

    assert asyncio.run(produce(stack, "restart_signup", b"after")) == 1
    assert asyncio.run(consume(stack, "restart_signup", 2)) == [b"before", b"after"]


def test_a_restarted_mongod_has_what_it_acknowledged(stack: LocalStack) -> None:
    with MongoClient(stack.mongo_uri) as client:
        safe = WriteConcern(w="majority", j=True)
        client["kept"].get_collection("things", write_concern=safe).insert_one({"_id": 1})

        stack.mongod.kill()
        stack.mongod.start()
        stack.wait_for_mongod()

        assert client["kept"]["things"].find_one() == {"_id": 1}
        assert client.admin.command("hello")["setName"] == "rs0"


async def test_a_topic_that_was_not_made_is_not_made_by_sending_to_it(stack: LocalStack) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka_bootstrap_servers, request_timeout_ms=2_000)
    await producer.start()
    with pytest.raises(KafkaError):
        await producer.send_and_wait("misspelt", b"x")
    await producer.stop()
    async with provision.admin_client(Kafka(bootstrap_servers=stack.kafka_bootstrap_servers)) as admin:
        assert "misspelt" not in await provision.partition_counts(admin)


def test_it_says_what_runs_and_the_broker_says_it_in_its_log(stack: LocalStack) -> None:
    with MongoClient(stack.mongo_uri) as client:
        assert client.server_info()["version"] == stack.versions.mongod
    assert f"Kafka version: {stack.versions.kafka}" in stack.kafka.log_path.read_text()
    assert int(stack.versions.java.partition(".")[0]) >= programs.MINIMUM_JAVA


@pytest.mark.slow
def test_kept_data_are_there_again_on_other_ports(tmp_path: Path) -> None:
    local = Local(data_dir=str(tmp_path / "data"), keep_data=True)
    with LocalStack(local, logs_dir=tmp_path / "logs") as first:
        kafka = Kafka(bootstrap_servers=first.kafka_bootstrap_servers)
        asyncio.run(provision.create_topics(kafka))
        with MongoClient(first.mongo_uri) as client:
            client["kept"]["things"].insert_one({"_id": 1})

    with LocalStack(structs.replace(local, keep_data=False), logs_dir=tmp_path / "logs") as second:
        assert second.mongo_uri != first.mongo_uri
        outcomes = asyncio.run(
            provision.create_topics(structs.replace(kafka, bootstrap_servers=second.kafka_bootstrap_servers))
        )
        assert not any(topic.made for topic in outcomes)
        with MongoClient(second.mongo_uri) as client:
            assert client["kept"]["things"].find_one() == {"_id": 1}

    # A later run does not remove what an earlier run was asked to keep.
    assert (tmp_path / "data" / "mongodb" / "WiredTiger").exists()


STARTS_A_STACK = """
import json, sys, time
from pathlib import Path
from pipeline.local.stack import LocalStack
from pipeline.settings import Local
logs = Path(sys.argv[1])
stack = LocalStack(Local(), logs_dir=logs).start()
(logs / "writing").write_text(json.dumps([stack.kafka.pid, stack.mongod.pid]))
(logs / "writing").rename(logs / "ready")
time.sleep(600)
"""


@pytest.mark.slow
def test_nothing_is_left_of_it_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", STARTS_A_STACK, str(tmp_path)])
    try:
        wait_until(lambda: (tmp_path / "ready").exists() or owner.poll() is not None, "the stack was up")
        servers = [psutil.Process(pid) for pid in json.loads((tmp_path / "ready").read_text())]
        data = [Path(server.cwd()) for server in servers]
        guards = [server.parent() for server in servers]
        assert all(folder.exists() for folder in data)
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    gone, alive = psutil.wait_procs([*servers, *(guard for guard in guards if guard)], timeout=WAIT_S)
    assert not alive
    assert len(gone) == 4
    assert not any(folder.exists() for folder in data)


def test_a_port_that_is_taken_is_named_with_the_option_that_changes_it(stack: LocalStack, tmp_path: Path) -> None:
    taken = int(stack.kafka_bootstrap_servers.rpartition(":")[2])
    with pytest.raises(UsageError, match=rf"port {taken} for Kafka is taken.*--kafka-port"):
        LocalStack(Local(), logs_dir=tmp_path, kafka_port=taken).start()
    assert not list(tmp_path.iterdir())


def test_free_ports_are_free() -> None:
    assert ports.is_free(ports.free_port())


def test_a_mongod_that_cannot_be_had_names_both_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "_MONGOD_WHEEL", "no-such-distribution")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPartError) as caught:
        LocalStack(Local(), logs_dir=tmp_path).start()
    for way in ("mongod", "docker compose", "PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI"):
        assert way in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_data_stay_in_a_folder_of_any_name_and_are_found_there_again(
    locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    cache = Path(jars.cache_folder(""))
    strange = tmp_path / "jürgen, #1 = a:b \\u0041 日本"
    strange.mkdir()
    (strange / "cache").symlink_to(cache)
    local = Local(data_dir=str(strange / "data"), cache_dir=str(strange / "cache"), keep_data=True)
    for _ in range(2):
        with LocalStack(local, logs_dir=strange / "logs", kafka_counters=True):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [strange.name]
    assert sorted(path.name for path in strange.iterdir()) == ["cache", "data", "logs"]
    assert (strange / "data" / "kafka" / "log" / "meta.properties").exists()

"""MongoDB or Kafka away: the worker waits, says for what, resumes, and nothing is lost or stored twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pymongo import MongoClient
from pymongo.collection import Collection

from bench.recorder import deliverieslog as deliveries
from bench.recorder.recorder import Places
from pipeline import provision
from pipeline.errors import MissingPartError
from pipeline.local.process import ChildProcess
from pipeline.local.stack import LocalStack
from pipeline.settings import Settings, load
from traffic.recordlog import read_blocks

Start = Callable[..., ChildProcess]
Documents = Collection[dict[str, Any]]
Wait = Callable[..., None]

EVENTS = 12_000


def messages(first: int, count: int) -> list[bytes | None]:
    return [
        json.dumps({"event": "page_view", "user_id": "1", "props": {"n": n}, "event_id": f"outage-{n}"}).encode()
        for n in range(first, first + count)
    ]


def assert_stored_once(collection: Documents, count: int) -> None:
    numbers = sorted(each["props"]["n"] for each in collection.find({}, {"props.n": 1}))
    assert numbers == list(range(count))


def output(worker: ChildProcess) -> str:
    return worker.log_path.read_text()


def acknowledged(path: Path) -> list[tuple[int, int]]:
    """Acknowledgement stamp and number of events of each block of a deliveries log."""
    return [
        (deliveries.EVENTS_HEADER.unpack(block.header)[1], len(block.payload) // deliveries.EVENT.size)
        for block in read_blocks(path)
        if block.kind == deliveries.EVENTS
    ]


@pytest.mark.parametrize(
    ("driver", "direction"),
    [
        ("motor", "request"),
        pytest.param("motor", "reply", marks=pytest.mark.slow),
        pytest.param("pymongo", "reply", marks=pytest.mark.slow),
    ],
)
def test_connection_to_mongodb_lost_in_the_middle_of_a_write(  # noqa: PLR0913, PLR0917  # fixtures
    settings: Settings,
    kafka: Any,
    collection: Documents,
    mongo_proxy: Any,
    start_worker: Start,
    wait_until: Wait,
    tmp_path: Path,
    driver: str,
    direction: str,
) -> None:
    kafka.send(messages(0, EVENTS))
    path = tmp_path / "deliveries.log"
    uri = f"mongodb://127.0.0.1:{mongo_proxy.port}/?directConnection=true"
    through = structs.replace(
        settings,
        mongo=structs.replace(settings.mongo, uri=uri, driver=driver, timeout_ms=1_000),
        worker=structs.replace(settings.worker, batch_max_events=500),
    )
    # About the middle: a request of 500 events takes some 60 kB, its reply some 200 bytes. Lost
    # replies are the harder case: what was written is not known to be.
    mongo_proxy.cut_after(direction, 600_000 if direction == "request" else 6_000)
    worker = start_worker(through, places=Places(deliveries=str(path)))
    wait_until(lambda: mongo_proxy.cuts == 1, "the cut")
    worker.wait_for_line("waiting for MongoDB", 45)
    time.sleep(2.5)  # several attempts
    away_ns = time.monotonic_ns()
    assert sum(kafka.committed().values()) <= sum(count for _, count in acknowledged(path)) < EVENTS
    mongo_proxy.restore()
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert_stored_once(collection, EVENTS)
    assert "is back after" in output(worker)
    stamps = [stamp for stamp, _ in acknowledged(path)]
    assert min(stamps) < away_ns < max(stamps)
    assert sum(count for _, count in acknowledged(path)) == EVENTS, "nobody left the group, so nothing came twice"


def test_mongodb_away_from_the_start_and_at_the_stop(
    settings: Settings, kafka: Any, collection: Documents, mongo_proxy: Any, start_worker: Start, wait_until: Wait
) -> None:
    kafka.send(messages(0, 500))
    uri = f"mongodb://127.0.0.1:{mongo_proxy.port}/?directConnection=true"
    through = structs.replace(
        settings,
        mongo=structs.replace(settings.mongo, uri=uri, timeout_ms=500),
        worker=structs.replace(settings.worker, shutdown_timeout_s=3.0),
    )
    mongo_proxy.cut()
    worker = start_worker(through)
    worker.wait_for_line("waiting for MongoDB", 45)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 1
    assert "events in hand not stored for certain" in output(worker)
    assert sum(kafka.committed().values()) == 0
    mongo_proxy.restore()
    start_worker(through)
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert_stored_once(collection, 500)


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    """Servers of this test's own, as it kills them."""
    stack = LocalStack(load(os.environ).local, logs_dir=tmp_path)
    try:
        stack.start()
    except MissingPartError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no servers to kill: {error}")
    with stack:
        yield stack


def on(stack: LocalStack, settings: Settings, **worker: Any) -> Settings:
    return structs.replace(
        settings,
        kafka=structs.replace(
            settings.kafka, bootstrap_servers=stack.kafka_bootstrap_servers, request_timeout_ms=4_000
        ),
        mongo=structs.replace(settings.mongo, uri=stack.mongo_uri),
        worker=structs.replace(settings.worker, **worker),
    )


def test_kafka_killed_and_started_again(
    own_stack: LocalStack, settings: Settings, kafka: Any, start_worker: Start, wait_until: Wait, tmp_path: Path
) -> None:
    path = tmp_path / "deliveries.log"
    own = on(own_stack, settings, batch_max_events=250)
    asyncio.run(provision.create_topics(own.kafka))
    own_kafka = type(kafka)(own)
    own_kafka.send(messages(0, EVENTS))
    with MongoClient[dict[str, Any]](own.mongo.uri) as client:
        collection = client[own.mongo.database][own.mongo.collection]
        worker = start_worker(own, places=Places(deliveries=str(path)))
        # Not the first document: MongoDB has that before the worker hears of it.
        wait_until(lambda: path.exists() and acknowledged(path), "the first acknowledged write")
        own_stack.kafka.kill()
        killed_ns = time.monotonic_ns()
        worker.wait_for_line("waiting for Kafka at", 60)
        own_stack.kafka.start()
        own_stack.kafka.wait_for_line("Kafka Server started", 60)
        own_kafka.send([*messages(EVENTS, 200), b"poison"])
        wait_until(lambda: own_kafka.committed() == own_kafka.ends(), "everything committed", 60)
        assert_stored_once(collection, EVENTS + 200)
        assert len(own_kafka.dead_letters(1)) == 1
        assert worker.running()
        stamps = [stamp for stamp, _ in acknowledged(path)]
        assert min(stamps) < killed_ns < max(stamps)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_worker_outlives_kafka_being_away_for_a_minute_under_load(  # fixtures
    own_stack: LocalStack, settings: Settings, kafka: Any, start_worker: Start, wait_until: Wait, way: str
) -> None:
    own = on(own_stack, settings, batch_max_events=100)
    asyncio.run(provision.create_topics(own.kafka))
    own_kafka = type(kafka)(own)
    own_kafka.send(messages(0, EVENTS))
    with MongoClient[dict[str, Any]](own.mongo.uri) as client:
        collection = client[own.mongo.database][own.mongo.collection]
        worker = start_worker(own)
        wait_until(lambda: collection.count_documents({}) > 0, "the first documents")
        if way == "killed":
            own_stack.kafka.kill()
        else:
            own_stack.kafka.send_signal(signal.SIGSTOP)
        time.sleep(65)
        assert worker.running(), output(worker)
        if way == "killed":
            own_stack.kafka.start()
            own_stack.kafka.wait_for_line("Kafka Server started", 60)
        else:
            own_stack.kafka.send_signal(signal.SIGCONT)
            wait_until(lambda: _answers(own_kafka), "Kafka")
        own_kafka.send(messages(EVENTS, 200))
        wait_until(lambda: own_kafka.committed() == own_kafka.ends(), "everything committed", 60)
        assert_stored_once(collection, EVENTS + 200)
        assert worker.running()


def _answers(kafka: Any) -> bool:
    try:
        return bool(kafka.ends())
    except Exception:  # noqa: BLE001  # it does not yet
        return False


def test_no_event_is_given_up_while_mongodb_has_no_primary(
    own_stack: LocalStack, settings: Settings, kafka: Any, start_worker: Start, wait_until: Wait
) -> None:
    own = on(own_stack, settings, batch_max_events=100)
    asyncio.run(provision.create_topics(own.kafka))
    own_kafka = type(kafka)(own)
    own_kafka.send(messages(0, EVENTS))
    with MongoClient[dict[str, Any]](own.mongo.uri) as client:
        collection = client[own.mongo.database][own.mongo.collection]
        start_worker(own)
        for at in range(3):
            wait_until(lambda at=at: collection.count_documents({}) > at * EVENTS // 4, "some more documents")
            client.admin.command("replSetStepDown", 2, force=True, secondaryCatchUpPeriodSecs=0)
            wait_until(lambda: client.admin.command("hello")["isWritablePrimary"], "a primary")
        wait_until(lambda: own_kafka.committed() == own_kafka.ends(), "everything committed", 60)
        assert_stored_once(collection, EVENTS)
        assert own_kafka.dead_letters(0) == []

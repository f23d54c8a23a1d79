"""Offsets that hold no event for us: deleted, aborted, markers, and those of a topic that was made anew."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from msgspec import structs
from pymongo.collection import Collection

from bench.evidence.leftovers import GroupWatch
from pipeline import provision
from pipeline.commands import reachability
from pipeline.commands.progress import EventCounter, open_counter
from pipeline.local.ports import claim
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

Start = Callable[..., ChildProcess]
Documents = Collection[dict[str, Any]]
Wait = Callable[..., None]


def messages(first: int, count: int) -> list[bytes | None]:
    event = {"event": "page_view", "user_id": "1", "timestamp": "2025-11-26T12:00:00Z"}
    return [
        json.dumps({**event, "props": {"n": n}, "event_id": f"gap-{n}"}).encode() for n in range(first, first + count)
    ]


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def _delete_up_to(settings: Settings, topic: str, offset: int) -> None:
    async with provision.admin_client(settings.kafka) as client:
        await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(offset)})


def test_events_that_kafka_deleted_unread_are_named_in_log_metric_and_check(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    port = claim(0, "metrics", "")
    settings = structs.replace(settings, worker=structs.replace(settings.worker, metrics_port=port))
    worker = start_worker(settings)
    kafka.send(messages(0, 3))
    wait_until(lambda: kafka.committed() == kafka.ends(), "the first ones committed")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    kafka.send(messages(3, 60))
    asyncio.run(_delete_up_to(settings, kafka.topic(), 16))  # of partition 0, which had one committed and has 21

    (before,) = _group_parts(settings)
    assert not before.ok
    assert f"15 records of {kafka.topic()}" in before.seen

    worker = start_worker(settings)
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert collection.count_documents({}) == 63 - 15
    text = worker.log_path.read_text()
    assert "ERROR" in text
    assert "15 records" in text
    assert metric(port, "tidemark_worker_skipped_by_retention_total") == 15
    (after,) = _group_parts(settings)
    assert not after.ok
    assert f"15 records of {kafka.topic()}" in after.seen


def test_events_that_kafka_deletes_under_a_slow_worker_are_named_too(
    settings: Settings, kafka: Any, start_worker: Start, wait_until: Wait
) -> None:
    port = claim(0, "metrics", "")
    settings = structs.replace(settings, worker=structs.replace(settings.worker, metrics_port=port))
    worker = start_worker(settings)
    kafka.send(messages(0, 3))
    wait_until(lambda: kafka.committed() == kafka.ends(), "the first ones committed")
    worker.send_signal(signal.SIGSTOP)
    kafka.send(messages(3, 60))
    asyncio.run(_delete_up_to(settings, kafka.topic(), 16))
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    # A fetch was on its way, which Kafka answered as soon as there was something.
    skipped = metric(port, "tidemark_worker_skipped_by_retention_total")
    assert skipped in (0, 15)
    if skipped:
        assert "15 records" in worker.log_path.read_text()


def _group_parts(settings: Settings) -> list[reachability.PartCheck]:
    parts = asyncio.run(reachability.check(settings, with_api=False))
    return [part for part in parts if settings.worker.group_id in part.name]


async def _in_transactions(settings: Settings, topic: str) -> AIOKafkaProducer:
    """Send 3 that are committed, 3 that are aborted, and 3 in a transaction left open; return its producer."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap_servers, transactional_id=settings.worker.group_id
    )
    await producer.start()
    for first, ends in ((0, producer.commit_transaction), (3, producer.abort_transaction), (6, None)):
        await producer.begin_transaction()
        for value in messages(first, 3):
            await producer.send_and_wait(topic, value, partition=0)
        if ends is not None:
            await ends()
    return producer


async def test_only_what_a_transaction_committed_is_stored(
    settings: Settings, collection: Documents, start_worker: Start, kafka: Any
) -> None:
    producer = await _in_transactions(settings, kafka.topic())
    try:
        start_worker(settings)
        await _until(lambda: collection.count_documents({}) >= 3)
        await asyncio.sleep(1.0)
        assert sorted(each["props"]["n"] for each in collection.find()) == [0, 1, 2]
        await producer.commit_transaction()
        await _until(lambda: collection.count_documents({}) >= 6)
        assert sorted(each["props"]["n"] for each in collection.find()) == [0, 1, 2, 6, 7, 8]
    finally:
        await producer.stop()


async def test_markers_and_aborted_events_are_no_backlog(
    settings: Settings, collection: Documents, start_worker: Start, kafka: Any
) -> None:
    producer = await _in_transactions(settings, kafka.topic())
    await producer.abort_transaction()
    await producer.stop()
    start_worker(settings)
    await _until(lambda: collection.count_documents({}) >= 3)
    async with open_counter(settings) as counter, GroupWatch(settings.kafka, settings.worker.group_id) as group:
        for backlog in (lambda: _backlog_of_up(counter), lambda: _backlog_of_bench(group)):
            deadline_s = time.monotonic() + 45
            while await backlog() != 0:
                assert time.monotonic() < deadline_s, "a backlog that nobody can ever commit"
                await asyncio.sleep(0.1)


async def _backlog_of_up(counter: EventCounter) -> int | None:
    return (await counter.measure()).backlog


async def _backlog_of_bench(group: GroupWatch) -> int:
    return (await group.position()).backlog


async def _until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 45
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.05)


def test_topic_made_anew_behind_a_worker_that_stands_still_is_read_from_its_start(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    worker = start_worker(settings)
    kafka.send(messages(0, 90))
    wait_until(lambda: kafka.committed() == kafka.ends(), "the first ones committed")
    worker.send_signal(signal.SIGSTOP)
    asyncio.run(_make_anew(settings, kafka.topic()))
    kafka.send(messages(1_000, 300))  # more than there were: the worker's position lies within
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: collection.count_documents({}) >= 390, "the new ones, all of them")
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert collection.count_documents({}) == 390
    assert "made anew" in worker.log_path.read_text()


async def _make_anew(settings: Settings, topic: str) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await client.start()
    try:
        await client.delete_topics([topic])
        while topic in await client.list_topics():  # noqa: ASYNC110  # Kafka sends no word when it is done
            await asyncio.sleep(0.05)
    finally:
        await client.close()
    await provision.create_topics(settings.kafka)

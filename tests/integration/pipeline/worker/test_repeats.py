"""The same event again: what is the same content, and what of a record survives dead letter and replay."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from msgspec import structs
from pymongo.collection import Collection

from pipeline.commands import deadletters
from pipeline.local.ports import claim
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings
from tests.integration import ingest_api

Start = Callable[..., ChildProcess]
Documents = Collection[dict[str, Any]]
Wait = Callable[..., None]

HEAD = b'"event":"page_view","user_id":"1"'
A_DAY_OF_2020_MS = 1_592_000_000_000


async def _send(settings: Settings, topic: str, *records: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers)
    await producer.start()
    for record in records:
        await producer.send_and_wait(topic, **record)
    await producer.stop()


def test_same_content_with_names_in_another_order_is_not_a_conflict(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    start_worker(settings)
    props = [
        (b'{"r":{"$ref":"c","$id":1},"a":[{"x":1,"y":2}]}', b'{"a":[{"y":2,"x":1}],"r":{"$id":1,"$ref":"c"}}'),
        (b'{"$ref":"c","$id":{"b":1,"a":2},"$db":"d"}', b'{"$db":"d","$id":{"a":2,"b":1},"$ref":"c"}'),
        (b'{"price":10,"big":1e3}', b'{"big":1000,"price":10.0}'),
    ]
    for at, pair in enumerate(props):
        kafka.send(
            [
                b'{%s,"timestamp":"2025-11-26T12:00:00Z","event_id":"order-%d","props":%s}' % (HEAD, at, each)
                for each in pair
            ]
        )
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert kafka.dead_letters(0) == []
    assert collection.count_documents({}) == len(props)


def test_other_values_under_one_id_are_a_conflict(
    settings: Settings, kafka: Any, start_worker: Start, wait_until: Wait
) -> None:
    start_worker(settings)
    for value in (b"1", b"true", b'"1"', b"[1]"):
        kafka.send([b'{%s,"timestamp":"2025-11-26T12:00:00Z","event_id":"order-1","props":{"v":%s}}' % (HEAD, value)])
        wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert [letter.headers["reason"] for letter in kafka.dead_letters(3)] == ["id_conflict"] * 3


def test_event_without_a_timestamp_that_is_sent_again_is_a_duplicate(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    port = claim(0, "metrics", "")
    start_worker(structs.replace(settings, worker=structs.replace(settings.worker, metrics_port=port)))
    # As the API writes it: what the client left out is the time of receipt, which is the record's time too.
    for ms in (123, 456):
        value = b'{%s,"props":{},"timestamp":"2025-11-26T12:00:00.%dZ","event_id":"retry-1"}' % (HEAD, ms)
        kafka.send([value], timestamp_ms=1_764_158_400_000 + ms)
    # And as any producer does.
    for ms in (123, 456):
        kafka.send([b'{%s,"event_id":"retry-2"}' % HEAD], timestamp_ms=1_764_158_400_000 + ms)
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert kafka.dead_letters(0) == []
    assert collection.count_documents({}) == 2
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        assert b"tidemark_worker_duplicates_total 2.0" in reply.read()


def test_client_that_sends_an_event_without_a_timestamp_again_through_the_api_has_it_stored_once(  # fixtures
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait, tmp_path: Path
) -> None:
    start_worker(settings)
    event = {"event": "page_view", "user_id": "1", "props": {"a": 1}, "event_id": "retry-3"}
    with ingest_api.running(settings, tmp_path) as api:
        for path, body in (("/track", event), ("/track", event), ("/track/batch", {"events": [event, event]})):
            assert ingest_api.post(api, path, body).status == 200
            time.sleep(0.01)  # another time of receipt
    wait_until(lambda: sum(kafka.ends().values()) == 4 and kafka.committed() == kafka.ends(), "everything committed")
    assert kafka.dead_letters(0) == []
    assert collection.count_documents({}) == 1


def test_another_timestamp_of_the_clients_own_is_a_conflict(
    settings: Settings, kafka: Any, start_worker: Start, wait_until: Wait
) -> None:
    start_worker(settings)
    for second in (1, 2):
        kafka.send([b'{%s,"timestamp":"2025-11-26T12:00:0%dZ","event_id":"order-1"}' % (HEAD, second)])
        wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert [letter.headers["reason"] for letter in kafka.dead_letters(1)] == ["id_conflict"]


def test_headers_key_and_time_of_a_record_survive_dead_letter_and_replay(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    collection.create_index([("props.tags", 1), ("props.items", 1)])
    start_worker(settings)
    headers = [("trace", b"1"), ("reason", b"mine"), ("trace", b"2"), ("binary", b"\xff\0"), ("none", None)]
    value = b'{%s,"props":{"tags":[1],"items":[2]}}' % HEAD
    record = {"value": value, "key": b"user-1", "headers": headers, "timestamp_ms": A_DAY_OF_2020_MS}
    asyncio.run(_send(settings, kafka.topic(), record))
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    (listed,) = asyncio.run(deadletters.listing(settings, 10)).letters
    assert (listed.reason, listed.key) == ("refused", b"user-1")

    done = asyncio.run(deadletters.replay(settings, 10))  # the index is still there: it comes back as it was
    assert [each.headers for each in done.sent] == [tuple(headers)]
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    first, second = asyncio.run(deadletters.listing(settings, 10)).letters
    assert (second.key, second.headers, second.record_timestamp_ms) == (b"user-1", tuple(headers), A_DAY_OF_2020_MS)
    assert first.record_timestamp_ms == A_DAY_OF_2020_MS

    collection.drop_indexes()
    for _ in range(2):  # the second time all of it once more: what is stored is stored once
        asyncio.run(deadletters.replay(settings, 10, again=True))
        wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    (stored,) = collection.find()
    assert stored["timestamp"] == datetime.fromisoformat("2020-06-12T22:13:20")

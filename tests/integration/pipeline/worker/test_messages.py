"""What a worker makes of messages, from any producer: stored, or a dead letter, and never a stall."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from bson import ObjectId
from msgspec import structs
from pymongo.collection import Collection

from pipeline import provision
from pipeline.local.ports import claim
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

Start = Callable[..., ChildProcess]
Documents = Collection[dict[str, Any]]
Wait = Callable[..., None]


def seed_message(n: int, **changes: Any) -> bytes:
    message = {"event": "page_view", "user_id": str(n % 7), "props": {"url": "/home", "ref": "google", "n": n}}
    return json.dumps({**message, "timestamp": "2025-11-26T12:00:00Z", **changes}).encode()


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def test_seed_message_is_stored_as_the_seed_has_it(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    start_worker(settings)
    kafka.send(
        [
            b'{"event":"signup","user_id":"123","props":{"url":"/home","ref":"google"},"timestamp":"2025-11-26T12:00:00Z"}'
        ],
        "signup",
    )
    wait_until(lambda: collection.count_documents({}) == 1, "the document")
    found = collection.find_one({"event_type": "signup", "user_id": "123"})
    assert found is not None
    assert isinstance(found.pop("_id"), ObjectId)
    assert found == {
        "event_type": "signup",
        "user_id": "123",
        "props": {"url": "/home", "referrer": "google"},
        "timestamp": datetime.fromisoformat("2025-11-26T12:00:00"),
    }


def test_lone_event_is_written_without_waiting_for_company(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    """Kafka may hold an answer back for half an hour if there is a reason to, far longer than the test looks."""
    start_worker(structs.replace(settings, worker=structs.replace(settings.worker, fetch_max_wait_ms=30 * 60_000)))
    for n in range(3):
        kafka.send([seed_message(n)], "page_view")
        wait_until(lambda n=n: collection.count_documents({}) == n + 1, f"event {n}, sent alone")


def test_events_after_a_load_that_ended_at_once_are_stored(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    """The worker lets events gather under load; when none come any more, it goes on reading all the same."""
    start_worker(
        structs.replace(settings, worker=structs.replace(settings.worker, batch_max_events=200, linger_ms=200))
    )
    stored = 0
    for burst in range(5):
        kafka.send([seed_message(stored + n) for n in range(1_500)], "page_view")
        stored += 1_500
        wait_until(lambda: collection.count_documents({}) == stored, f"burst {burst}")  # noqa: B023 - called at once
        kafka.send([seed_message(stored)], "signup")
        stored += 1
        wait_until(lambda: collection.count_documents({}) == stored, f"the event after burst {burst}")  # noqa: B023


def test_each_message_among_good_ones_is_stored_or_dead_lettered(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    stored = [seed_message(n) for n in range(300)]
    stored += [
        seed_message(300, timestamp="yesterday"),
        seed_message(301, timestamp=1_764_158_400_000),
        seed_message(302, user_id=9),
        seed_message(303, props={"n": 303, "$set": 1, "a.b": {"$x": 2}, "": 3}),
        f'{{"event":"deep","user_id":"1","props":{nested(150)}}}'.encode(),
        b'{"event":"bare","user_id":"1"}',
        seed_message(306, session="left out", event_id="order-1"),
        seed_message(306, session="redelivered", event_id="order-1"),
    ]
    refused = {
        None: "empty",
        b"": "empty",
        b"{": "malformed_json",
        b'{"event":"a","user_id":"\xff"}': "malformed_json",
        f'{{"event":"a","user_id":"1","props":{nested(5_000)}}}'.encode(): "malformed_json",
        b'{"user_id":"1"}': "invalid_event",
        b'{"event":"a","user_id":"1","props":[1]}': "invalid_event",
        b'{"event":"a","user_id":"1","props":{"n":9223372036854775808}}': "unencodable",
        b'{"event":"a","user_id":"1","props":{"a\\u0000b":1}}': "unencodable",
        f'{{"event":"a","user_id":"1","props":{nested(185)}}}'.encode(): "refused",
        f'{{"event":"a","user_id":"1","props":{nested(300)}}}'.encode(): "refused",
    }
    conflict = seed_message(999, event_id="order-1")
    kafka.send([*stored[:150], *refused, *stored[150:], conflict])
    kafka.send([seed_message(400)], "generic")
    start_worker(settings)
    wait_until(lambda: sum(kafka.committed().values()) == sum(kafka.ends().values()), "everything committed")
    wait_until(lambda: collection.count_documents({"props.n": 400}) == 1, "the last message")
    letters = kafka.dead_letters(len(refused) + 1)
    # Which of the two under one id comes first is Kafka's to say: they are on different partitions.
    conflicts = [each for each in letters if each.headers["reason"] == "id_conflict"]
    assert len(conflicts) in {1, 2}
    assert {each.value for each in conflicts} <= {conflict, *stored[-2:]}
    others = {each.value: each.headers["reason"] for each in letters if each not in conflicts}
    assert others == refused
    assert len(letters) == len(refused) + len(conflicts)
    assert collection.count_documents({}) == 300 + 6 + 1 + 1
    for each in letters:
        assert each.key == b"key"
        assert each.headers["topic"] == kafka.topic()
        assert each.headers["detail"]
        assert int(each.headers["offset"]) < kafka.ends()[int(each.headers["partition"])]


@pytest.mark.slow
def test_large_events_are_all_stored(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    text = [seed_message(n, props={"n": n, "pad": "x" * 20_000}) for n in range(900)]
    # Small integers in a list take five times as much room in BSON as in JSON: a batch within its
    # bound in bytes is too large for one command.
    pad = b"[" + b"1," * 99_999 + b"1]"
    numbers = [b'{"event":"numbers","user_id":"1","props":{"n":%d,"pad":%s}}' % (n, pad) for n in range(120)]
    kafka.send([*numbers, *text])
    whole = structs.replace(settings.worker, max_partition_fetch_bytes=4 * 1024 * 1024)
    start_worker(structs.replace(settings, worker=whole))
    wait_until(lambda: collection.count_documents({}) == 1_020, "all documents")
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert kafka.dead_letters(0) == []


def test_dead_letters_wait_for_their_topic_and_none_is_lost(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    later = settings.kafka.topic_prefix + "later"
    patient = structs.replace(
        settings, kafka=structs.replace(settings.kafka, dead_letter_topic=later, request_timeout_ms=2_000)
    )
    kafka.send([b"poison", *(seed_message(n) for n in range(30))])
    worker = start_worker(patient)
    wait_until(lambda: collection.count_documents({}) == 30, "the good ones")
    worker.wait_for_line("waiting for Kafka's topic", 45)
    assert sum(kafka.committed().values()) < 31, "a record that is nowhere must not be committed"
    asyncio.run(provision.create_topics(patient.kafka))
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    (letter,) = type(kafka)(patient).dead_letters(1)
    assert letter.value == b"poison"


def test_another_group_reads_everything_again(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    kafka.send([seed_message(n) for n in range(50)])
    start_worker(settings)
    wait_until(lambda: collection.count_documents({}) == 50, "the first group's documents")
    other = structs.replace(
        settings,
        worker=structs.replace(settings.worker, group_id=settings.worker.group_id + "_2"),
        mongo=structs.replace(settings.mongo, collection="again"),
    )
    start_worker(other)
    again = collection.database["again"]
    wait_until(lambda: again.count_documents({}) == 50, "the second group's documents")
    assert list(again.find(sort=[("_id", 1)])) == list(collection.find(sort=[("_id", 1)]))


@pytest.mark.slow
def test_topic_made_anew_is_read_from_its_start_and_its_events_are_others(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    messages = [seed_message(n) for n in range(200)]
    kafka.send(messages)
    start_worker(settings)
    wait_until(lambda: collection.count_documents({}) == 200, "the first ones")
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    asyncio.run(_make_anew(settings, kafka.topic()))
    kafka.send(messages)
    wait_until(lambda: collection.count_documents({}) >= 400, "the same messages once more")
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert collection.count_documents({}) == 400


def test_metrics_tell_what_was_done(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    port = claim(0, "metrics", "")
    kafka.send([b"poison", *(seed_message(n // 2, event_id=f"id-{n // 2}") for n in range(40))])
    start_worker(structs.replace(settings, worker=structs.replace(settings.worker, metrics_port=port)))
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        lines = reply.read().decode().splitlines()
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}
    assert values["tidemark_worker_fetched_total"] == 41
    assert values["tidemark_worker_stored_total"] == 40
    assert values["tidemark_worker_duplicates_total"] == 40 - 20
    assert values['tidemark_worker_dead_letters_total{reason="malformed_json"}'] == 1
    assert values["tidemark_worker_assigned_partitions"] == 3 * settings.kafka.partitions
    assert collection.count_documents({}) == 20


async def _make_anew(settings: Settings, topic: str) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await client.start()
    try:
        await client.delete_topics([topic])
        while topic in await client.list_topics():  # noqa: ASYNC110  # Kafka tells nobody when it is done
            await asyncio.sleep(0.05)
    finally:
        await client.close()
    await provision.create_topics(settings.kafka)

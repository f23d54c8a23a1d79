"""The dashboard on a real Kafka and a real MongoDB: what its group counts, under redelivery, replay and outages."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from msgspec import structs

from pipeline import provision
from pipeline.dashboard.aggregate import DAY, SCALES, Aggregate, at, start_of
from pipeline.dashboard.aggregator import AggregateWriter
from pipeline.dashboard.database import Database
from pipeline.dashboard.rows import MINUTE_MS, Counted, Row, RowsOfMinute
from pipeline.local.ports import free_port
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings
from tests.integration.dashboard_runs import ask, committed, counted, group_is_done, messages, set_back, with_dashboard

Start = Callable[..., ChildProcess]
Wait = Callable[..., None]


@pytest.fixture
def mine(settings: Settings) -> Settings:
    return with_dashboard(settings)


def test_the_group_counts_what_is_on_kafka_whether_or_not_a_worker_stores_it(
    mine: Settings, kafka: Any, database: Any, start_dashboard: Start, wait_until: Wait
) -> None:
    kafka.send(messages(0, 300))
    kafka.send([*messages(300, 20, "signup"), b"no event"], "signup")
    start_dashboard(mine)
    wait_until(lambda: counted(database) == {"page_view": 300, "signup": 20}, "all counted")
    assert counted(database, "minutes") == {"page_view": 300, "signup": 20}
    assert database["analytics_events"].count_documents({}) == 0
    assert committed(mine, mine.worker.group_id) == {}
    found = ask(mine)
    assert found["activity"]["users_today"] == 50
    assert found["activity"]["refused_today"] == 1
    assert found["activity"]["funnel"] == [
        {"step": "page_view", "users": 50},
        {"step": "page_view:/sign-up", "users": 0},
        {"step": "signup", "users": 20},
    ]
    assert found["health"]["accepted"] == 321


def test_a_replay_from_the_first_record_counts_nothing_twice(
    mine: Settings, kafka: Any, database: Any, start_dashboard: Start, wait_until: Wait
) -> None:
    kafka.send(messages(0, 200))
    dashboard = start_dashboard(mine)
    wait_until(lambda: group_is_done(mine, kafka), "all committed")
    dashboard.send_signal(signal.SIGTERM)
    assert dashboard.wait(30) == 0
    set_back(mine, mine.dashboard.group_id)
    kafka.send(messages(200, 100))
    start_dashboard(mine)
    wait_until(lambda: group_is_done(mine, kafka), "all committed again")
    assert counted(database) == counted(database, "minutes") == {"page_view": 300}


def test_members_that_are_killed_while_they_count_lose_nothing_and_count_nothing_twice(
    mine: Settings, kafka: Any, database: Any, start_dashboard: Start, wait_until: Wait
) -> None:
    one = start_dashboard(mine)
    other = start_dashboard(mine, port=free_port())
    for round_number in range(4):
        kafka.send(messages(500 * round_number, 500))
        if round_number == 1:
            one.kill()  # its partitions go to the other one, from what it had committed
        if round_number == 2:
            one = start_dashboard(mine, port=free_port())
    wait_until(lambda: group_is_done(mine, kafka), "all committed")
    other.send_signal(signal.SIGTERM)
    assert other.wait(30) == 0
    assert counted(database) == counted(database, "minutes") == {"page_view": 2_000}


@pytest.mark.slow
def test_a_topic_that_is_made_anew_is_counted_from_its_start(
    mine: Settings, kafka: Any, database: Any, start_dashboard: Start, wait_until: Wait
) -> None:
    kafka.send(messages(0, 90))
    dashboard = start_dashboard(mine)
    wait_until(lambda: group_is_done(mine, kafka), "all committed")
    dashboard.send_signal(signal.SIGTERM)
    assert dashboard.wait(30) == 0
    asyncio.run(provision.delete_topics(mine.kafka))
    asyncio.run(provision.create_topics(mine.kafka))
    kafka.send(messages(90, 30))
    start_dashboard(mine)
    wait_until(lambda: counted(database) == {"page_view": 120}, "those of the new topic too")


def test_health_names_members_backlog_and_dead_letters(
    mine: Settings, kafka: Any, start_worker: Start, start_dashboard: Start, wait_until: Wait
) -> None:
    start_dashboard(mine)
    kafka.send(messages(0, 30))
    wait_until(lambda: ask(mine)["health"]["groups"][0]["backlog"] == 30, "a backlog without a worker")
    workers = ask(mine)["health"]["groups"][0]
    assert workers["members"] == []
    assert {each["member"] for each in ask(mine)["health"]["partitions"] if each["group"] == workers["name"]} == {""}
    start_worker(mine)
    kafka.send([b"no event"])
    wait_until(lambda: ask(mine)["health"]["dead_letters"] == 1, "the dead letter")
    wait_until(lambda: ask(mine)["health"]["groups"][0]["backlog"] == 0, "no backlog")
    found = ask(mine)
    (worker,) = found["health"]["groups"][0]["members"]
    assert worker["id"].startswith("tidemark-worker ")
    assert worker["partitions"] == 9
    owners = {each["member"] for each in found["health"]["partitions"] if each["group"] == workers["name"]}
    assert owners == {worker["id"]}
    assert found["stored"]["events"] == 30


def test_delivery_latency_is_sampled_from_receipt_to_what_mongodb_has(
    mine: Settings, kafka: Any, start_worker: Start, start_dashboard: Start, wait_until: Wait
) -> None:
    mine = structs.replace(mine, dashboard=structs.replace(mine.dashboard, samples_per_s=10))
    start_worker(mine)
    start_dashboard(mine)
    sent = iter(range(0, 1_000_000, 10))

    def sampled() -> bool:
        kafka.send(messages(next(sent), 10))
        return ask(mine)["activity"]["latency"]["recent"]["samples"] >= 3

    wait_until(lambda: ask(mine)["activity"] is not None, "the first figures")
    wait_until(sampled, "three samples")
    recent = ask(mine)["activity"]["latency"]["recent"]
    assert 0 < recent["p50_ms"] <= recent["p90_ms"] <= recent["p99_ms"] < 60_000


def test_what_kafka_has_removed_is_passed_over_and_is_no_backlog(
    mine: Settings, kafka: Any, database: Any, start_dashboard: Start, wait_until: Wait
) -> None:
    kafka.send(messages(0, 300))
    set_back(mine, mine.dashboard.group_id)  # it has been here before, and comes back too late

    async def remove() -> None:
        async with provision.admin_client(mine.kafka) as client:
            topic = mine.kafka.topic_prefix + "page_view"
            partitions = (TopicPartition(topic, each) for each in range(mine.kafka.partitions))
            await client.delete_records({each: RecordsToDelete(60) for each in partitions})

    asyncio.run(remove())
    left = 300 - 60 * mine.kafka.partitions
    start_dashboard(mine)
    wait_until(lambda: counted(database) == {"page_view": left}, "what is left is counted")
    workers, own = ask(mine)["health"]["groups"]
    assert workers["backlog"] == left
    assert ask(mine)["health"]["accepted"] == 300  # ever, not what is left
    wait_until(lambda: ask(mine)["health"]["groups"][1]["backlog"] == 0, "and is no backlog")
    assert own["name"] == mine.dashboard.group_id


def test_old_documents_are_removed_by_mongodb(
    mine: Settings, database: Any, kafka: Any, start_dashboard: Start, wait_until: Wait
) -> None:
    start_dashboard(mine)
    kafka.send(messages(0, 1))

    def removes(name: str) -> bool:
        return any(each.get("expireAfterSeconds") == 0 for each in database[name].list_indexes())

    for name in ("analytics_events_minutes", "analytics_events_days", "analytics_events_latencies"):
        wait_until(lambda name=name: removes(name), f"the index of {name}")
    wait_until(lambda: counted(database) == {"page_view": 1}, "counted")
    for name, kept_h in (("minutes", mine.dashboard.minutes_kept_h), ("days", 24 * mine.dashboard.days_kept)):
        document = database[f"analytics_events_{name}"].find_one()
        assert kept_h * 3600 <= (document["expires_at"] - document["_id"]).total_seconds() <= (kept_h + 24) * 3600


async def test_two_writers_that_do_not_know_of_each_other_count_each_record_once(mine: Settings) -> None:
    """As two members of the group, one of which was thought dead: each has an older version of the document."""
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    database = Database(mine.mongo)
    writers = [AggregateWriter(database, mine.dashboard) for _ in range(2)]

    def batch(partition: str, first: int, count: int) -> Counted:
        rows = [Row(offset, 0, "page_view", str(offset), "/", "") for offset in range(first, first + count)]
        return Counted(0, [RowsOfMinute(partition, now_ms, rows)], {}, count)

    try:
        await writers[0].write(batch("p:0", 0, 10))
        await writers[1].write(batch("p:1", 0, 10))
        await writers[0].write(batch("p:0", 10, 10))  # from what it remembers, which is not what is there
        await writers[1].write(batch("p:0", 5, 20))  # half of it is there already
        await writers[0].write(batch("p:0", 20, 5))  # all of it
        await asyncio.gather(*(each.write(batch(f"p:{at + 2}", 0, 50)) for at, each in enumerate(writers)))
        for scale in SCALES:
            (document,) = await database.aggregates(scale).find().to_list()
            found = Aggregate.from_document(scale, document)
            assert found.events == 25 + 10 + 100, scale.suffix
            assert found.next == {"p:0": 25, "p:1": 10, "p:2": 50, "p:3": 50}
    finally:
        await database.close()


async def test_a_document_that_cannot_be_read_is_begun_anew(mine: Settings) -> None:
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    database = Database(mine.mongo)
    try:
        for scale in SCALES:
            await database.aggregates(scale).insert_one(
                {"_id": at(start_of(scale, now_ms)), "types": [["page_view"]], "users": b"none"}
            )
        rows = [Row(0, 0, "page_view", "1", "/", "")]
        await AggregateWriter(database, mine.dashboard).write(Counted(0, [RowsOfMinute("p:0", now_ms, rows)], {}, 1))
        for scale in SCALES:
            (document,) = await database.aggregates(scale).find().to_list()
            assert Aggregate.from_document(scale, document).events == 1
    finally:
        await database.close()


async def test_records_of_a_time_that_is_not_kept_are_left_out(mine: Settings) -> None:
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    database = Database(mine.mongo)
    writer = AggregateWriter(database, mine.dashboard)
    far_ms = (mine.dashboard.days_kept + 1) * DAY.length_ms
    rows = [Row(0, 0, "page_view", "1", "/", "")]
    try:
        parts = [
            RowsOfMinute(f"p:{at_ms}", at_ms, rows)
            for at_ms in (now_ms - far_ms, now_ms + 2 * DAY.length_ms, -MINUTE_MS)
        ]
        await writer.write(Counted(0, parts, {}, 3))
        assert writer.left_out == 3
        for scale in SCALES:
            assert await database.aggregates(scale).find().to_list() == []
    finally:
        await database.close()

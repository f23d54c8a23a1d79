"""The dashboard on a real Kafka and a real MongoDB: what its group counts, under redelivery, replay and outages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from msgspec import structs
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database as SyncDatabase

from pipeline import provision
from pipeline.dashboard.activity import latencies_query, minutes_query
from pipeline.dashboard.aggregate import DAY, SCALES, Aggregate, at, start_of
from pipeline.dashboard.aggregator import AggregateWriter
from pipeline.dashboard.database import Database
from pipeline.dashboard.newest import SEARCHED, Filter, pipeline_of
from pipeline.dashboard.rows import MINUTE_MS, Counted, Part, Row
from pipeline.local.ports import free_port
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings, to_environment

WAIT_S = 45.0
TOKEN = "0123456789abcdef"  # noqa: S105  of these tests alone

Documents = Collection[dict[str, Any]]
Start = Callable[..., ChildProcess]
Wait = Callable[..., None]


@pytest.fixture
def mine(settings: Settings) -> Settings:
    dashboard = structs.replace(
        settings.dashboard,
        port=free_port(),
        token=TOKEN,
        group_id=settings.worker.group_id + "_dashboard",
        refresh_s=0.2,
    )
    return structs.replace(settings, dashboard=dashboard)


@pytest.fixture
def database(settings: Settings) -> Iterator[SyncDatabase[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](settings.mongo.uri, tz_aware=True) as client:
        yield client[settings.mongo.database]


@pytest.fixture
def start_dashboard(tmp_path: Path) -> Iterator[Start]:
    started: list[ChildProcess] = []

    def start(settings: Settings, *, port: int | None = None) -> ChildProcess:
        if port is not None:
            settings = structs.replace(settings, dashboard=structs.replace(settings.dashboard, port=port))
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PIPELINE_")}
        dashboard = ChildProcess(
            "dashboard",
            [sys.executable, "-m", "pipeline", "dashboard"],
            log_path=tmp_path / f"dashboard-{len(started)}.log",
            env={**environment, **to_environment(settings)},
            cwd=Path(__file__).parents[2],
        )
        started.append(dashboard.start())
        dashboard.wait_for_line("dashboard ready on", WAIT_S)
        return dashboard

    yield start
    for each in started:
        each.send_signal(signal.SIGCONT)
        each.kill()


def messages(first: int, count: int, kind: str = "page_view") -> list[bytes | None]:
    return [
        json.dumps(
            {"event": kind, "user_id": str(n % 50), "props": {"url": f"/{n % 5}", "ref": "x"}, "event_id": f"d-{n}"}
        ).encode()
        for n in range(first, first + count)
    ]


def counted(database: SyncDatabase[dict[str, Any]], scale: str = "days") -> dict[str, int]:
    totals: dict[str, int] = {}
    for document in database[f"analytics_events_{scale}"].find():
        for name, *counts in document["types"]:
            totals[name] = totals.get(name, 0) + sum(counts)
    return totals


def ask(settings: Settings, path: str = "/snapshot") -> Any:
    url = f"http://127.0.0.1:{settings.dashboard.port}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310  likewise
        return json.load(answer)


def committed(settings: Settings, group: str) -> dict[TopicPartition, int]:
    async def read() -> dict[TopicPartition, int]:
        async with provision.admin_client(settings.kafka) as client:
            found = await client.list_consumer_group_offsets(group)
            return {each: meta.offset for each, meta in found.items()}

    return asyncio.run(read())


def set_back(settings: Settings, group: str) -> None:
    """Let the group, which has no member, begin with the first record again: a replay."""

    async def commit() -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap_servers, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            topic = settings.kafka.topic_prefix + "page_view"
            partitions = [TopicPartition(topic, each) for each in range(settings.kafka.partitions)]
            consumer.assign(partitions)
            await consumer.commit({each: OffsetAndMetadata(0, "") for each in partitions})
        finally:
            await consumer.stop()

    asyncio.run(commit())


def group_is_done(settings: Settings, kafka: Any) -> bool:
    found = committed(settings, settings.dashboard.group_id)
    return {each.partition: offset for each, offset in found.items() if "page_view" in each.topic} == kafka.ends()


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


def test_with_mongodb_away_the_page_says_since_when_and_afterwards_all_is_counted(
    mine: Settings, kafka: Any, database: Any, mongo_proxy: Any, start_dashboard: Start, wait_until: Wait
) -> None:
    uri = f"mongodb://127.0.0.1:{mongo_proxy.port}/?directConnection=true"
    through = structs.replace(mine, mongo=structs.replace(mine.mongo, uri=uri, timeout_ms=1_000))
    kafka.send(messages(0, 100))
    start_dashboard(through)
    wait_until(lambda: (ask(through)["activity"] or {}).get("today", {}).get("events") == 100, "counted")
    mongo_proxy.cut()
    kafka.send(messages(100, 100))
    wait_until(lambda: ask(through)["mongo"]["error"], "it is told")
    away = ask(through)
    assert away["activity"]["today"]["events"] == 100
    assert away["mongo"]["since_ms"] > away["mongo"]["at_ms"] > 0
    assert away["health"]["accepted"] == 200
    mongo_proxy.restore()
    wait_until(lambda: ask(through)["activity"]["today"]["events"] == 200, "counted after all")
    assert ask(through)["mongo"]["error"] == ""
    assert counted(database) == {"page_view": 200}


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


def test_the_newest_events_are_found_by_type_user_and_page(
    mine: Settings, kafka: Any, database: Any, start_worker: Start, start_dashboard: Start, wait_until: Wait
) -> None:
    start_worker(mine)
    kafka.send([*messages(0, 40), b'{"event":"page_view","user_id":"<b>","props":{"url":"/(.*","n":{"a":[1]}}}'])
    wait_until(lambda: database["analytics_events"].count_documents({}) == 41, "stored")
    start_dashboard(mine)
    assert len(ask(mine, "/events")["events"]) == 41
    assert {each["user_id"] for each in ask(mine, "/events?user=7")["events"]} == {"7"}
    assert ask(mine, "/events?type=signup")["events"] == []
    (found,) = ask(mine, "/events?url=%2F(.*")["events"]
    assert found["user_id"] == "<b>"
    assert json.loads(found["props"]) == {"url": "/(.*", "n": {"a": [1]}}


# ---- bounded in cost: by the servers' own account ------------------------------------------------------------------


def stages(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every stage of an explained plan."""
    if "stage" in plan:
        yield plan
    for value in plan.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping):
                yield from stages(inner)


def explained(database: SyncDatabase[dict[str, Any]], command: Mapping[str, Any]) -> Mapping[str, Any]:
    return database.command("explain", dict(command), verbosity="executionStats")


@pytest.fixture
def many(settings: Settings, database: SyncDatabase[dict[str, Any]]) -> SyncDatabase[dict[str, Any]]:
    """30,000 events, three times what is searched; 3,000 minutes; all with the indexes that the pipeline makes."""
    asyncio.run(provision.create_indexes(settings.mongo))
    now = datetime.now(UTC)
    events = [
        {"event_type": "a" if n % 100 else "rare", "user_id": str(n), "props": {}, "timestamp": now - timedelta(0, n)}
        for n in range(30_000)
    ]
    database["analytics_events"].insert_many(events)
    minutes = [{"_id": now - timedelta(minutes=n), "types": [["a", 1]]} for n in range(3_000)]
    database["analytics_events_minutes"].insert_many(minutes)
    database["analytics_events_latencies"].create_index([("at", 1)])
    buckets = [{"at": now - timedelta(minutes=n), "buckets": [1]} for n in range(3_000)]
    database["analytics_events_latencies"].insert_many(buckets)
    return database


@pytest.mark.parametrize(
    "wanted", [Filter(), Filter(event_type="rare"), Filter(user_id="nobody"), Filter(url="/nowhere")], ids=str
)
def test_the_newest_events_come_by_the_index_and_from_a_bounded_number(many: Any, wanted: Filter) -> None:
    now_ms = time.time_ns() // 1_000_000
    command = {"aggregate": "analytics_events", "pipeline": pipeline_of(wanted, now_ms), "cursor": {}}
    plan = explained(many, command)
    found = list(stages(plan))
    assert {each["indexName"] for each in found if each["stage"] == "IXSCAN"} == {"timestamp_-1"}
    assert not [each for each in found if each["stage"] in ("COLLSCAN", "SORT")]
    assert max(each.get("docsExamined", 0) for each in found) <= SEARCHED


def test_the_last_hour_is_read_by_index_and_nothing_else_is_looked_at(many: Any) -> None:
    now_ms = time.time_ns() // 1_000_000
    first_ms = now_ms - 3_600_000
    for name, query in (("minutes", minutes_query(first_ms, now_ms)), ("latencies", latencies_query(first_ms))):
        plan = explained(many, {"find": f"analytics_events_{name}", "filter": query})
        assert "COLLSCAN" not in {each["stage"] for each in stages(plan)}
        assert plan["executionStats"]["totalDocsExamined"] <= 61, name


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
        return Counted(0, [Part(partition, now_ms, rows)], {}, count)

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
        await AggregateWriter(database, mine.dashboard).write(Counted(0, [Part("p:0", now_ms, rows)], {}, 1))
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
        parts = [Part(f"p:{at_ms}", at_ms, rows) for at_ms in (now_ms - far_ms, now_ms + 2 * DAY.length_ms, -MINUTE_MS)]
        await writer.write(Counted(0, parts, {}, 3))
        assert writer.left_out == 3
        for scale in SCALES:
            assert await database.aggregates(scale).find().to_list() == []
    finally:
        await database.close()

"""What the dashboard's page reads of MongoDB: by index, a bounded number, whatever the documents hold."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.database import Database as SyncDatabase

from pipeline import provision
from pipeline.dashboard.activity import ActivityReader, latencies_query, minutes_query
from pipeline.dashboard.aggregate import DAY, MINUTE, at, start_of
from pipeline.dashboard.aggregator import AggregateWriter
from pipeline.dashboard.database import Database
from pipeline.dashboard.newest import SEARCHED, Filter, newest, pipeline_of
from pipeline.dashboard.rows import MINUTE_MS, Counted, Row, RowsOfMinute
from pipeline.dashboard.sampler import Unseen
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings
from tests.integration.dashboard_runs import ask, messages, with_dashboard

Documents = Collection[dict[str, Any]]
Start = Callable[..., ChildProcess]
Wait = Callable[..., None]


@pytest.fixture
def mine(settings: Settings) -> Settings:
    return with_dashboard(settings)


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


async def test_the_newest_events_are_shown_however_large_they_are(mine: Settings, collection: Documents) -> None:
    now = datetime.now(UTC)
    large = {"url": "/large", "text": "x" * 1_000_000}
    collection.insert_many([{"event_type": "a", "user_id": "1", "props": large, "timestamp": now} for _ in range(20)])
    collection.insert_one({"event_type": ["a"], "user_id": "u" * 900_000, "props": {"url": "a\0b"}, "timestamp": now})
    collection.insert_one({"timestamp": now})
    database = Database(mine.mongo)
    try:
        found = (await newest(database, Filter())).events
        assert len(found) == 22
        assert sum("too large to show: 1000" in each.props for each in found) == 20
        assert max(len(each.user_id) for each in found) <= 203
        (nul,) = (await newest(database, Filter(url="a\0b"))).events
        assert nul.event_type == "['a']"
        assert len((await newest(database, Filter(url="/large"))).events) == 20
    finally:
        await database.close()


async def test_a_document_that_cannot_be_read_is_left_out_of_the_page(
    mine: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    database = Database(mine.mongo)
    rows = [Row(0, 0, "page_view", "1", "/", "")]
    try:
        await AggregateWriter(database, mine.dashboard).write(Counted(0, [RowsOfMinute("p:0", now_ms, rows)], {}, 1))
        broken = [{"types": [["page_view"]]}, {"users": b"none"}, {"pages": {}}, {"next": 5}]
        for number, each in enumerate(broken, start=1):
            await database.aggregates(MINUTE).insert_one({"_id": at(now_ms - number * MINUTE_MS), **each})
        reader = ActivityReader(database, mine.dashboard.funnel)
        assert (await reader.read(Unseen())).last_hour.events == 1
        said = caplog.text.count("is left out")
        assert (await reader.read(Unseen())).today.events == 1
        assert caplog.text.count("is left out") == said > 1, "each document is named once, not at every read"
    finally:
        await database.close()


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
    for name, scale in (("minutes", MINUTE_MS), ("days", DAY.length_ms)):
        times = [now - n * timedelta(milliseconds=scale) for n in range(3_000)]
        database[f"analytics_events_{name}"].insert_many([{"_id": each, "types": [["a", 1]]} for each in times])
    database["analytics_events_latencies"].create_index([("at", 1)])
    buckets = [{"at": now - timedelta(minutes=n), "buckets": [1]} for n in range(3_000)]
    database["analytics_events_latencies"].insert_many(buckets)
    return database


NEWEST = [Filter(), Filter(event_type="rare"), Filter(user_id="nobody"), Filter(url="/nowhere")]


def reads(wanted: Filter) -> dict[str, tuple[dict[str, Any], set[str], int]]:
    """What the page reads: each command, the indexes that it may use, and how many documents it may look at."""
    now_ms = time.time_ns() // 1_000_000
    first_ms, day = now_ms - 3_600_000, {"_id": at(start_of(DAY, now_ms))}
    newest = {"aggregate": "analytics_events", "pipeline": pipeline_of(wanted, now_ms), "cursor": {}}
    latencies = {"find": "analytics_events_latencies", "filter": latencies_query(first_ms)}
    return {
        "newest": (newest, {"timestamp_-1"}, SEARCHED),
        "minutes": (
            {"find": "analytics_events_minutes", "filter": minutes_query(first_ms, now_ms), "sort": {"_id": 1}},
            {"_id_"},
            61,
        ),
        "days": ({"find": "analytics_events_days", "filter": day, "sort": {"_id": 1}}, {"_id_"}, 1),
        "latencies": ({**latencies, "sort": {"at": -1}}, {"at_1"}, 61),
    }


def expect_bounded(database: SyncDatabase[dict[str, Any]], read: tuple[dict[str, Any], set[str], int]) -> None:
    command, indexes, most = read
    found = list(stages(explained(database, command)))
    assert not [each["stage"] for each in found if each["stage"] in ("COLLSCAN", "SORT")]
    by_index = {each["indexName"] for each in found if each["stage"] == "IXSCAN"}
    assert by_index == indexes or "IDHACK" in {each["stage"] for each in found}
    assert max(each.get("docsExamined", 0) for each in found) <= most


@pytest.mark.parametrize("wanted", NEWEST, ids=str)
def test_all_that_the_page_reads_comes_by_an_index_and_is_bounded(many: Any, wanted: Filter) -> None:
    for read in reads(wanted).values():
        expect_bounded(many, read)


@pytest.mark.parametrize(
    ("name", "collection", "index"),
    [("newest", "analytics_events", "timestamp_-1"), ("latencies", "analytics_events_latencies", "at_1")],
)
def test_without_its_index_a_read_is_found_to_be_unbounded(many: Any, name: str, collection: str, index: str) -> None:
    many[collection].drop_index(index)
    with pytest.raises(AssertionError):
        expect_bounded(many, reads(Filter())[name])

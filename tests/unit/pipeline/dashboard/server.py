"""The dashboard's server with figures of a test's own, on a port of its own: for what needs no Kafka and no MongoDB."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

from aiokafka.errors import KafkaConnectionError
from msgspec import Struct, structs
from pymongo.errors import ServerSelectionTimeoutError
from sanic import Sanic

from pipeline.dashboard import latencies, process
from pipeline.dashboard.access import TokenCheck
from pipeline.dashboard.activity import activity_of
from pipeline.dashboard.aggregate import DAY, MINUTE, Aggregate, start_of
from pipeline.dashboard.application import DashboardDependencies
from pipeline.dashboard.files import page_files
from pipeline.dashboard.hub import Hub, Readers
from pipeline.dashboard.newest import Filter
from pipeline.dashboard.rows import parts_of
from pipeline.dashboard.tally import FunnelCondition, Tallies
from pipeline.dashboard.view import (
    Activity,
    Group,
    GroupMember,
    Health,
    Latency,
    LatencyMinute,
    Newest,
    Partition,
    ShownEvent,
)
from tests.unit.pipeline.dashboard.records import Record, event

TOKEN = "a-token-of+sixteen%or&more"  # noqa: S105  of the tests alone
FUNNEL = ("page_view", "page_view:/signup", "signup")
FILES = page_files()


class Figures(Struct):
    """What the server is to show; a test changes it while the server runs."""

    activity: Activity
    health: Health
    events: list[ShownEvent]
    stored: int = 3
    mongo_is_away: bool = False
    kafka_is_away: bool = False
    search_s: float = 0.0
    asked: list[Filter] = []


def activity(records: list[Record]) -> Activity:
    now_ms = time.time_ns() // 1_000_000
    minute, day = Aggregate(MINUTE, start_of(MINUTE, now_ms) - 60_000), Aggregate(DAY, start_of(DAY, now_ms))
    tallies = Tallies([FunnelCondition.parse(each) for each in FUNNEL])
    moved = [structs.replace(each, timestamp=minute.start_ms + each.offset % 60_000) for each in records]
    if moved:
        minute = minute.with_parts(parts_of("p", moved), tallies) or minute
        day = day.with_parts(parts_of("p", moved), tallies) or day
    buckets = latencies.empty()
    for latency_ms in (20, 30, 45, 700) if records else ():
        latencies.add(buckets, latency_ms)
    found = latencies.percentiles(buckets)
    minutes = [LatencyMinute(minute.start_ms + at * 60_000, found) for at in range(-9, 1)] if records else []
    return activity_of(now_ms, [minute], [day], Latency(found, minutes, 0, 0.0, 0), FUNNEL)


def figures(records: list[Record] | None = None) -> Figures:
    records = [event(0, url="/home", ref="google")] if records is None else records
    member = "tidemark-worker 1a2b3c4d"
    health = Health(
        accepted=len(records),
        dead_letters=0,
        groups=[Group("workers", "workers store", "Stable", [GroupMember(member, "127.0.0.1", 1)], 0)],
        partitions=[Partition("workers", "events_page_view", 0, len(records), len(records), 0, member)],
    )
    shown = [ShownEvent("1", "page_view", "123", "2025-11-26T12:00:00.000Z", '{"url": "/home"}')] if records else []
    return Figures(activity(records), health, shown, stored=len(records))


def hub_of(readers: Readers, *, most: int = 3, refresh_s: float = 0.2) -> Hub:
    """The hub of a dashboard that counts, with names for its servers."""
    names = {"mongo": "MongoDB at db:27017", "kafka": "Kafka at kafka:9092"}
    return Hub(readers, **names, refresh_s=refresh_s, most=most, counts=True)


@contextlib.asynccontextmanager
async def serving(
    shown: Figures, *, most: int = 3, refresh_s: float = 0.2, token: str = TOKEN, port: int = 0
) -> AsyncIterator[tuple[str, Hub]]:
    """Return the URL of a server that shows ``shown``, and its hub."""

    async def of_mongo() -> Activity:
        if shown.mongo_is_away:
            raise ServerSelectionTimeoutError("nobody is there, says mongodb://user:secret@somewhere")
        return shown.activity

    async def stored() -> int | None:
        return shown.stored

    async def health() -> Health:
        if shown.kafka_is_away:
            raise KafkaConnectionError("nobody is there, says kafka://user:secret@somewhere")
        return shown.health

    async def newest(wanted: Filter) -> Newest:
        shown.asked.append(wanted)
        await asyncio.sleep(shown.search_s)
        return Newest(1, 10_000, shown.events)

    hub = hub_of(Readers(activity=of_mongo, stored=stored, health=health), most=most, refresh_s=refresh_s)
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    Sanic.test_mode = True  # or it rewrites its own code for one application only
    Sanic._app_registry.clear()
    async with process._running(hub.run()):
        server = await process._start(DashboardDependencies(TokenCheck(token), hub, FILES, newest), listener, most)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", hub
        finally:
            await process._drain(server, hub)

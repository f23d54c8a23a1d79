"""What the tests of the dashboard share: the dashboard as a process, and what it answers."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from msgspec import structs
from pymongo.database import Database

from pipeline import provision
from pipeline.local.ports import free_port
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings
from tests.integration import roles
from tests.integration.ingest_api import WAIT_S

TOKEN = "0123456789abcdef"  # noqa: S105  of the tests alone


def with_dashboard(settings: Settings, **changes: Any) -> Settings:
    """``settings`` with a dashboard of their own: its port, its token, its group, often renewed."""
    own = {"port": free_port(), "token": TOKEN, "group_id": settings.worker.group_id + "_dashboard", "refresh_s": 0.2}
    return structs.replace(settings, dashboard=structs.replace(settings.dashboard, **{**own, **changes}))


def child(settings: Settings, log_path: Path) -> ChildProcess:
    """The dashboard as a process that is not started yet."""
    return roles.child("dashboard", settings, log_path)


def ask(settings: Settings, path: str = "/snapshot") -> Any:
    """What the dashboard of ``settings`` answers."""
    url = f"http://127.0.0.1:{settings.dashboard.port}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {settings.dashboard.token}"})
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310  this machine's
        return json.load(answer)


def messages(first: int, count: int, kind: str = "page_view") -> list[bytes | None]:
    """Events of fifty users and five pages, each with an id of its own."""
    return [
        json.dumps(
            {"event": kind, "user_id": str(n % 50), "props": {"url": f"/{n % 5}", "ref": "x"}, "event_id": f"d-{n}"}
        ).encode()
        for n in range(first, first + count)
    ]


def counted(database: Database[dict[str, Any]], scale: str = "days") -> dict[str, int]:
    """What the documents of a scale have counted, by type."""
    totals: dict[str, int] = {}
    for document in database[f"analytics_events_{scale}"].find():
        for name, *counts in document["types"]:
            totals[name] = totals.get(name, 0) + sum(counts)
    return totals


def committed(settings: Settings, group: str) -> dict[TopicPartition, int]:
    """What a group has committed."""

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
    """Whether the dashboard's group has committed all of the page views."""
    found = committed(settings, settings.dashboard.group_id)
    return {each.partition: offset for each, offset in found.items() if "page_view" in each.topic} == kafka.ends()

"""The dashboard while its parts are away, while it is killed, and before there is anything: all is counted, once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from pipeline import provision
from pipeline.local.ports import free_port
from pipeline.local.process import ChildProcess
from pipeline.local.stack import LocalStack
from pipeline.settings import Local, Settings
from tests.integration.dashboard_runs import ask, counted, group_is_done, messages, with_dashboard

Start = Callable[..., ChildProcess]
Wait = Callable[..., None]


@pytest.fixture
def mine(settings: Settings) -> Settings:
    return with_dashboard(settings)


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
    wait_until(lambda: ask(through)["mongo"]["error"], "MongoDB's error is shown")
    away = ask(through)
    assert away["activity"]["today"]["events"] == 100
    assert away["mongo"]["since_ms"] > away["mongo"]["at_ms"] > 0
    assert away["health"]["accepted"] == 200
    mongo_proxy.restore()
    wait_until(lambda: ask(through)["activity"]["today"]["events"] == 200, "counted after all")
    assert ask(through)["mongo"]["error"] == ""
    assert counted(database) == {"page_view": 200}


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing_and_count_nothing_twice(
    mine: Settings, kafka: Any, database: Any, start_dashboard: Start, wait_until: Wait
) -> None:
    chosen = random.Random(15)  # noqa: S311  a test's
    sent = 0
    for _ in range(8):
        dashboards = [start_dashboard(mine), start_dashboard(mine, port=free_port())]
        for _ in range(3):
            kafka.send(messages(sent, count := chosen.randrange(500, 3_000)))
            sent += count
        time.sleep(chosen.uniform(0, 3))  # somewhere between joining, fetching, writing and committing
        for each in dashboards:
            each.kill()
    start_dashboard(mine)
    wait_until(lambda: group_is_done(mine, kafka), "all committed")
    assert counted(database) == counted(database, "minutes") == {"page_view": sent}


def on(settings: Settings, kafka: str, uri: str) -> Settings:
    """``settings`` with other servers."""
    return structs.replace(
        settings,
        kafka=structs.replace(settings.kafka, bootstrap_servers=kafka),
        mongo=structs.replace(settings.mongo, uri=uri),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("parts_are_there")
def test_started_before_kafka_and_mongodb_it_waits_for_them_and_counts(
    mine: Settings, kafka: Any, start_dashboard: Start, wait_until: Wait, tmp_path: Path
) -> None:
    ports = {"kafka_port": free_port(), "mongo_port": free_port()}
    uri = f"mongodb://127.0.0.1:{ports['mongo_port']}/?directConnection=true"
    early = on(mine, f"127.0.0.1:{ports['kafka_port']}", uri)
    start_dashboard(early)
    found = ask(early)
    assert (found["activity"], found["stored"], found["health"]) == (None, None, None)
    assert "does not answer" in found["mongo"]["error"]
    assert "does not answer" in found["kafka"]["error"]
    with LocalStack(Local(), logs_dir=tmp_path, **ports):
        wait_until(lambda: "./tidemark init" in ask(early)["kafka"]["error"], "it says that the topics are missing")
        asyncio.run(provision.create_topics(early.kafka))
        type(kafka)(early).send(messages(0, 100))
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            database = client[early.mongo.database]
            wait_until(lambda: counted(database) == {"page_view": 100}, "all is counted")
        wait_until(lambda: not ask(early)["kafka"]["error"] + ask(early)["mongo"]["error"], "all is well")
        assert ask(early)["health"]["accepted"] == 100


@pytest.mark.slow
@pytest.mark.usefixtures("parts_are_there")
def test_elections_of_a_replica_set_and_a_killed_primary_lose_nothing_and_count_nothing_twice(
    mine: Settings, kafka: Any, start_dashboard: Start, wait_until: Wait, tmp_path: Path
) -> None:
    with LocalStack(Local(mongo_members=3), logs_dir=tmp_path) as stack:
        own = on(mine, stack.kafka_bootstrap_servers, stack.mongo_uri)
        asyncio.run(provision.create_topics(own.kafka))
        own_kafka = type(kafka)(own)
        start_dashboard(own)
        with MongoClient[dict[str, Any]](own.mongo.uri, tz_aware=True) as client:
            for round_number in range(3):
                own_kafka.send(messages(2_000 * round_number, 2_000))
                if round_number < 2:
                    with contextlib.suppress(AutoReconnect):
                        client.admin.command("replSetStepDown", 10, force=True, secondaryCatchUpPeriodSecs=0)
                else:
                    wait_until(lambda: client.primary is not None, "a primary")
                    at = stack.mongo_member_uris.index(_member(stack, client))
                    stack.members[at].kill()
            wait_until(lambda: group_is_done(own, own_kafka), "all committed")
            database = client[own.mongo.database]
            assert counted(database) == counted(database, "minutes") == {"page_view": 6_000}
        wait_until(lambda: not ask(own)["mongo"]["error"], "the page has a primary again")


def _member(stack: LocalStack, client: MongoClient[dict[str, Any]]) -> str:
    """The address, as the stack has it, of the member that is primary."""
    assert client.primary is not None
    return next(each for each in stack.mongo_member_uris if f":{client.primary[1]}/" in each)

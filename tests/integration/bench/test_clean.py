"""What the bench leaves on servers, and what of it ``bench clean`` removes: all of ended runs, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition
from msgspec import structs
from pymongo import MongoClient

from bench.kinds.drain import DrainCell
from bench.targets import cleaning, marks
from bench.targets.cellsettings import settings_for
from bench.targets.marks import Left, Mark
from pipeline import provision
from pipeline.settings import Settings, to_environment

ROOT = Path(__file__).resolve().parents[3]
CELL = DrainCell(id="drain-p1-c1", partitions=1)
KILLED = """
import os, signal
from bench.targets.marks import Mark
from pipeline import settings
Mark({token!r}, settings.load(os.environ)).make("runs/killed")
os.kill(os.getpid(), signal.SIGKILL)
"""


async def filled(settings: Settings, name: str) -> None:
    """Make what a repeat called ``name`` makes: topics, a collection, a group that has committed."""
    own = settings_for(settings, CELL, name)
    await provision.create_topics(own.kafka)
    await provision.create_indexes(own.mongo)
    group = own.worker.group_id
    consumer = AIOKafkaConsumer(bootstrap_servers=own.kafka.bootstrap_servers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(f"{name}.page_view", 0)
        consumer.assign([partition])
        await consumer.commit({partition: 0})
    finally:
        await consumer.stop()


def left(settings: Settings, token: str) -> Left:
    return asyncio.run(marks.leftovers(settings, [token]))


@pytest.fixture
def cleaned(settings: Settings) -> Iterator[list[str]]:
    """Tokens of the test's own: whatever of them is left is removed at the end."""
    tokens: list[str] = []
    yield tokens
    asyncio.run(marks.delete(settings, asyncio.run(marks.leftovers(settings, tokens))))
    marks.forget(settings.mongo, tokens)


@pytest.fixture
def killed(settings: Settings, cleaned: list[str]) -> str:
    """The token of a run that was killed, with all that it had made."""
    token = marks.new_token()
    cleaned.append(token)
    environment = {**os.environ, **to_environment(settings), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", KILLED.format(token=token)], env=environment, check=False, timeout=100)
    asyncio.run(filled(settings, f"tidemark-{token}-7"))
    assert all((left(settings, token).topics, left(settings, token).groups, left(settings, token).collections))
    return token


def test_all_that_a_killed_run_left_is_removed(settings: Settings, killed: str) -> None:
    said: list[str] = []
    cleaning.clean(settings, said.append, dry_run=False)
    assert not left(settings, killed)
    assert killed not in {each.token for each in marks.found_marks(settings.mongo)}
    assert any("runs/killed" in line for line in said)


def test_a_dry_run_names_it_and_removes_nothing(settings: Settings, killed: str) -> None:
    before, said = left(settings, killed), list[str]()
    cleaning.clean(settings, said.append, dry_run=True)
    assert left(settings, killed) == before
    for name in (*before.topics, *before.groups, *before.collections):
        assert any(name in line for line in said)


def test_the_data_of_a_living_run_is_not_touched(settings: Settings, cleaned: list[str]) -> None:
    living = Mark(marks.new_token(), settings)
    cleaned.append(living.token)
    living.make("runs/living")
    asyncio.run(filled(settings, f"{living.prefix}7"))
    before, said = left(settings, living.token), list[str]()
    cleaning.clean(settings, said.append, dry_run=False)
    assert left(settings, living.token) == before
    assert any("runs/living" in line and "still runs" in line for line in said)


def test_a_run_elsewhere_lives_as_long_as_it_is_heard_of(settings: Settings, cleaned: list[str]) -> None:
    mark = Mark(marks.new_token(), settings)
    cleaned.append(mark.token)
    mark.make("runs/elsewhere")
    with MongoClient(settings.mongo.uri) as client:
        client[marks.DATABASE][marks.MARKS].update_one({"_id": mark.token}, {"$set": {"host": "another"}})
    lives = {each.token: each.lives for each in marks.found_marks(settings.mongo)}
    assert lives[mark.token]
    mark.renew(-marks.LEASE_S - 1)
    lives = {each.token: each.lives for each in marks.found_marks(settings.mongo)}
    assert not lives[mark.token]


def test_names_without_a_mark_are_not_touched(settings: Settings, cleaned: list[str]) -> None:
    token = marks.new_token()
    cleaned.append(token)
    asyncio.run(filled(settings, f"tidemark-{token}-7"))
    before = left(settings, token)
    cleaning.clean(settings, lambda _: None, dry_run=False)
    assert left(settings, token) == before


@pytest.mark.parametrize("name", ["tidemark-mine-1", "tidemark_0123456789ab-1", "x-tidemark-0123456789ab-1"])
def test_others_names_are_none_of_ours(name: str) -> None:
    assert marks.token_of(name) == ""


def test_deleting_a_missing_group_is_not_an_error(settings: Settings) -> None:
    asyncio.run(marks.delete_group(settings.kafka, "tidemark-nobody"))


def test_two_sessions_have_names_that_cannot_meet_and_leave_nothing(settings: Settings) -> None:
    async def both() -> set[str]:
        async with (
            marks.marked(settings, "runs/one", print) as one,
            marks.marked(settings, "runs/one", print) as other,
        ):
            for mark in (one, other):
                await filled(settings, f"{mark.prefix}7")
            return {one.token, other.token}

    tokens = asyncio.run(both())
    assert len(tokens) == 2
    with contextlib.suppress(UnknownTopicOrPartitionError):
        assert not asyncio.run(marks.leftovers(settings, sorted(tokens)))
    assert tokens.isdisjoint(each.token for each in marks.found_marks(settings.mongo))


def test_where_mongodb_is_away_the_run_does_not_begin(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "_START_S", 0.0)
    away = structs.replace(settings, mongo=structs.replace(settings.mongo, uri="mongodb://127.0.0.1:9", timeout_ms=200))

    async def begin() -> None:
        async with marks.marked(away, "x", print):
            pytest.fail("there is nothing to run on")

    with pytest.raises(marks.MissingPartError, match="cannot be used"):
        asyncio.run(begin())

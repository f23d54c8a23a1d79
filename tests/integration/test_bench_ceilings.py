"""A session of small bare loops on real servers: each kind measures what it did, and nothing stays behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest
from msgspec import structs
from pymongo import MongoClient

from bench.ceilings import loops, session
from bench.ceilings.session import Asked
from bench.errors import RepeatError
from bench.servers import Servers
from loadtest._spec import Traffic
from pipeline import provision
from pipeline.settings import Settings

EVENTS = {"insert-2": 20_000, "consume-decoded": 60_000, "produce-single": 6_000, "produce-batches-8": 40_000}
EVENTS |= {"handler-batches-8": 20_000}


def small(name: str) -> loops.Loop:
    loop = next(each for each in loops.every(2) if each.name == name)
    return structs.replace(loop, events=EVENTS[name], warm_up=min(loop.warm_up, EVENTS[name] // 5))


@pytest.fixture
def ours(servers) -> Servers:
    base = Settings()
    kafka = structs.replace(base.kafka, bootstrap_servers=servers.kafka_bootstrap_servers)
    mongo = structs.replace(base.mongo, uri=servers.mongo_uri)
    return Servers(structs.replace(base, kafka=kafka, mongo=mongo), servers.pids, {})


async def topics(ours: Servers) -> set[str]:
    async with provision.admin_client(ours.settings.kafka) as client:
        return {name for name in await provision.partition_counts(client) if name.startswith("tidemark-ceilings")}


def collections(ours: Servers) -> set[str]:
    with MongoClient(ours.settings.mongo.uri) as client:
        names = client["tidemark_bench"].list_collection_names()
    return {name for name in names if name.startswith("tidemark-ceilings")}


def children() -> set[int]:
    return {each.pid for each in psutil.Process().children(recursive=True)}


def test_every_kind_of_loop_measures_its_events_and_leaves_nothing(ours: Servers, tmp_path: Path) -> None:
    before, said = children(), []
    asked = Asked(tuple(small(name) for name in EVENTS), 1, Traffic())
    found = asyncio.run(session.measure(asked, ours, tmp_path / "logs", said.append))
    for name, events in EVENTS.items():
        [repeat] = found[name]
        low, high = 0.75 * events, 1.05 * events  # what is not the warm-up, in whole batches
        assert low <= repeat.events <= high, name
        assert repeat.events_per_s == pytest.approx(repeat.events / repeat.took_s)
        assert repeat.cpu_s_per_100k_events["client"] > 0
    if ours.pids:
        assert found["insert-2"][0].cpu_s_per_100k_events["mongodb"] > 0
        assert "kafka" in found["consume-decoded"][0].cpu_s_per_100k_events
    assert found["handler-batches-8"][0].cpu_s_per_100k_events["handler"] > 0
    assert sorted(repeat.place for of_loop in found.values() for repeat in of_loop) == list(range(1, len(EVENTS) + 1))
    assert sum("round 1" in line for line in said) == len(EVENTS)
    assert (asyncio.run(topics(ours)), collections(ours)) == (set(), set())
    assert children() == before
    assert not list((tmp_path / "logs").glob("ceilings-*"))


def test_a_loop_that_fails_is_named_with_its_words_and_leaves_nothing(ours: Servers, tmp_path: Path) -> None:
    nobody = Servers(ours.settings, {"mongodb": [2**22 + 1]}, {})
    asked = Asked((small("insert-2"),), 1, Traffic())
    with pytest.raises(RepeatError, match=r"insert-2 ended with exit code 3(.|\n)*has ended"):
        asyncio.run(session.measure(asked, nobody, tmp_path, print))
    assert collections(ours) == set()
    assert "has ended" in (tmp_path / "insert-2.log").read_text()

"""A session of small bare loops on real servers: each kind measures what it did, and nothing stays behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest
from msgspec import structs
from pymongo import MongoClient

from bench.ceilings import loops, session
from bench.ceilings.session import CeilingsRequest
from bench.cells.bounds import Bounds
from bench.errors import RepeatError
from bench.targets.servers import Servers
from pipeline import provision
from pipeline.settings import Settings
from traffic.spec import Traffic

EVENTS = {"insert-2": 20_000, "consume-decoded": 60_000, "produce-single": 6_000, "produce-pooled-8": 40_000}
EVENTS |= {"handler-batches-8": 20_000}
PARTS = {"worker-1": 20_000, "worker-2-apart": 20_000, "api-batches-8": 20_000, "generator-50k": 10_000}

PREFIX = "tidemark-"  # of all names on the servers
ALL_COUNT = Bounds(disturbed_share=1.0)  # whatever else this machine does


def small(name: str) -> loops.Loop:
    loop = next(each for each in (*loops.every(2), *loops.parts(apart=True)) if each.name == name)
    events = (EVENTS | PARTS)[name]
    rate = min(loop.offered_load_events_per_s, 5_000.0)
    return structs.replace(loop, events=events, warm_up=min(loop.warm_up, events // 5), offered_load_events_per_s=rate)


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
    asked = CeilingsRequest(tuple(small(name) for name in EVENTS), 1, Traffic(), ALL_COUNT)
    found = asyncio.run(session.measure(asked, ours, tmp_path / "logs", said.append, PREFIX))
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


def test_our_parts_are_measured_alone_as_they_are_in_a_cell_and_leave_nothing(ours: Servers, tmp_path: Path) -> None:
    before = children()
    asked = CeilingsRequest(tuple(small(name) for name in PARTS), 1, Traffic(), ALL_COUNT)
    found = asyncio.run(session.measure(asked, ours, tmp_path / "logs", print, PREFIX))
    [worker], [beside], [api], [generator] = (found[name] for name in PARTS)
    # From the warm-up until 90%, in whole batches of which the first comes with the warm-up.
    for drained in (worker, beside):
        assert 0.3 * PARTS["worker-1"] <= drained.events <= PARTS["worker-1"]
    for pid in (pid for of_role in ours.pids.values() for pid in of_role):
        assert os.sched_getaffinity(pid) == os.sched_getaffinity(0)
    assert worker.cpu_s_per_100k_events["worker"] > 0
    assert worker.memory_mb is not None
    assert 10 < worker.memory_mb < 1_000
    assert 0.75 * PARTS["api-batches-8"] <= api.events <= 1.05 * PARTS["api-batches-8"]
    assert api.cpu_s_per_100k_events["api"] > 0
    assert api.service_time_ms is not None
    assert 0.5 * PARTS["generator-50k"] <= generator.events <= 1.5 * PARTS["generator-50k"]  # a Poisson process
    assert generator.cpu_s_per_100k_events["generator"] > 0
    assert generator.schedule_delay_ms is not None
    assert (asyncio.run(topics(ours)), collections(ours)) == (set(), set())
    assert children() == before


def test_a_loop_that_fails_is_named_with_its_words_and_leaves_nothing(ours: Servers, tmp_path: Path) -> None:
    nobody = Servers(ours.settings, {"mongodb": [2**22 + 1]}, {})
    asked = CeilingsRequest((small("insert-2"),), 1, Traffic())
    with pytest.raises(RepeatError, match=r"insert-2 ended with exit code 3(.|\n)*has ended"):
        asyncio.run(session.measure(asked, nobody, tmp_path, print, PREFIX))
    assert collections(ours) == set()
    assert "has ended" in (tmp_path / "insert-2.log").read_text()

"""A drain over partitions x consumers: fill, then join. Real Kafka, real mongod, real worker processes.

The workers have joined before the topics are filled, and are stopped (SIGSTOP) while they are: so
the time begins with all of the backlog there and all consumers in place, and ends with the last
event stored.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pytest_benchmark.fixture import BenchmarkFixture

from bench.kinds.drain import DrainCell
from bench.load.preload import preload
from bench.targets.cellsettings import settings_for
from bench.targets.target import Setup
from bench.targets.tidemark import Tidemark
from pipeline.settings import Kafka, Mongo, Settings
from tests.conftest import Servers
from traffic.spec import LoadSpec, Traffic

EVENTS = 20_000
ROUNDS = 5
TIMEOUT_S = 60.0
POLL_S = 0.005
EVEN_MIX = (("page_view", 1.0), ("signup", 1.0), ("add_to_cart", 1.0))  # one type for each of the three topics


@contextmanager
def workers(servers: Servers, partitions: int, consumers: int, folder: Path) -> Iterator[Tidemark]:
    """Workers that have joined, on topics and a collection of their own; nothing of it is left afterwards."""
    base = Settings(kafka=Kafka(bootstrap_servers=servers.kafka_bootstrap_servers), mongo=Mongo(uri=servers.mongo_uri))
    cell = DrainCell(id="micro", partitions=partitions, consumers=consumers)
    system = Tidemark(Setup(settings_for(base, cell, f"micro-{secrets.token_hex(6)}"), folder, consumers))
    asyncio.run(system.provision())
    try:
        asyncio.run(start(system))
        yield system
    finally:
        send(system, signal.SIGCONT)
        crashes = system.stop()
        asyncio.run(system.remove())
    assert not crashes


async def start(system: Tidemark) -> None:
    await system.start(through_http=False)
    await system.admit()


def send(system: Tidemark, which: signal.Signals) -> None:
    for pid in system.processes()["worker"]:
        os.kill(pid, which)


def wait_for(collection: Collection[dict[str, Any]], events: int) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while (stored := collection.estimated_document_count()) < events:
        assert time.monotonic() < deadline_s, f"{stored} of {events} events stored after {TIMEOUT_S:.0f} s"
        time.sleep(POLL_S)


@pytest.mark.benchmark(group=f"drain of {EVENTS:,} events")
@pytest.mark.parametrize("consumers", [1, 2])
@pytest.mark.parametrize("partitions", [1, 3])
def test_drain(benchmark: BenchmarkFixture, servers: Servers, tmp_path: Path, partitions: int, consumers: int) -> None:
    rounds = itertools.count(1)
    with (
        workers(servers, partitions, consumers, tmp_path) as system,
        MongoClient[dict[str, Any]](servers.mongo_uri) as client,
    ):
        mongo = system.settings.mongo
        collection = client[mongo.database][mongo.collection]

        def fill() -> tuple[tuple[int], dict[str, Any]]:
            number = next(rounds)
            send(system, signal.SIGSTOP)
            spec = LoadSpec(run=number, traffic=Traffic(event_mix=EVEN_MIX))  # another run: other events
            asyncio.run(preload(system.settings.kafka, spec, EVENTS, tmp_path / f"ledger-{number}.log"))
            return (number * EVENTS,), {}

        def join(events: int) -> None:
            send(system, signal.SIGCONT)
            wait_for(collection, events)

        benchmark.pedantic(  # type: ignore[no-untyped-call]  # pytest-benchmark types all but this
            join, setup=fill, rounds=ROUNDS, warmup_rounds=1
        )
        benchmark.extra_info["events"] = EVENTS
        assert collection.count_documents({}) == (ROUNDS + 1) * EVENTS

"""One acknowledged insert of 2,000 documents, by each driver, into a real mongod with the indexes that a run has."""

from __future__ import annotations

import asyncio
import itertools
from typing import Literal

import pytest
from bson import ObjectId
from msgspec import structs
from pytest_benchmark.fixture import BenchmarkFixture

from pipeline.messages.identifiers import document_id
from pipeline.messages.timestamps import read_timestamp
from pipeline.settings import Settings
from pipeline.store import Document, Store, open_store
from traffic.content import Content

DOCUMENTS = 2_000
ROUNDS = 15


def documents(content: Content, first: int) -> list[Document]:
    """Documents as a worker makes them, of events that no other call has."""
    events = [content.event(1, sequence, 1_764_158_400_000) for sequence in range(first, first + DOCUMENTS)]
    return [
        {
            "_id": ObjectId(document_id(event["event_id"], topic="", partition=0, offset=0, timestamp_ms=0, value=b"")),
            "event_type": event["event"],
            "user_id": event["user_id"],
            "props": event["props"],
            "timestamp": read_timestamp(event["timestamp"]),
        }
        for event in events
    ]


@pytest.mark.benchmark(group="insert of 2,000 documents")
@pytest.mark.parametrize("driver", ["motor", "pymongo"])
def test_bulk_insert(
    benchmark: BenchmarkFixture, settings: Settings, content: Content, driver: Literal["motor", "pymongo"]
) -> None:
    inserted = []
    batches = (documents(content, first) for first in itertools.count(0, DOCUMENTS))

    async def connect() -> Store:  # a client belongs to the event loop on which it is made
        return open_store(structs.replace(settings.mongo, driver=driver), connections=2)

    async def insert(batch: list[Document]) -> None:
        inserted.append((await store.insert(batch)).inserted)

    with asyncio.Runner() as runner:
        store = runner.run(connect())
        benchmark.pedantic(  # type: ignore[no-untyped-call]  # pytest-benchmark types all but this
            lambda batch: runner.run(insert(batch)),
            setup=lambda: ((next(batches),), {}),
            rounds=ROUNDS,
            warmup_rounds=2,
        )
        runner.run(store.close())
    assert set(inserted) == {DOCUMENTS}

"""The number of stored events is right also after mongod was killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from pipeline.errors import MissingPartError
from pipeline.local import mongodb, programs
from pipeline.local.launch import Launch
from pipeline.local.mongodb import ReplicaSetMember
from pipeline.local.ports import claim
from pipeline.local.process import ChildProcess
from pipeline.settings import load
from pipeline.store.exactcount import ExactCount


class Mongod:
    """One of this test's own, as it is killed."""

    def __init__(self, folder: Path) -> None:
        port = claim(0, "mongod", "")
        self.uri = mongodb.uri(port)
        program = programs.find_mongod(load(os.environ).local).path
        self._member = ReplicaSetMember(1, port, folder / "data")
        self.process: ChildProcess = mongodb.prepare(
            mongod=program, member=self._member, name="mongod", launch=Launch(folder)
        )

    def start(self) -> None:
        self.process.start()
        mongodb.wait_until_ready([self.process], [self._member])


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[Mongod]:
    try:
        server = Mongod(tmp_path)
    except MissingPartError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no server to kill: {error}")
    server.start()
    yield server
    server.process.kill()


async def test_documents_are_counted_right_after_mongod_was_killed(mongod: Mongod) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongod.uri) as client:
        collection = client["counted"]["events"]
        count = ExactCount(collection)
        assert await count.now() == 0
        await collection.insert_many([{"n": n} for n in range(2_000)])
        await client.admin.command("fsync")  # a checkpoint, as there is one each minute
        await collection.insert_many([{"n": n} for n in range(1_000)])
        assert await count.now() == 3_000
        mongod.process.kill()
        mongod.start()
        assert await collection.estimated_document_count() != 3_000, "the premise: MongoDB's estimate is wrong"
        assert await count.now() == 3_000
        await collection.insert_many([{"n": n} for n in range(500)])
        assert await count.now() == 3_500


async def test_count_that_was_wrong_under_load_is_right_at_rest(mongod: Mongod) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongod.uri) as client:
        collection = client["counted"]["events"]
        await collection.insert_many([{"n": n} for n in range(100)])
        count = ExactCount(collection)
        count._correction, count._life = -7, await _life(client)
        assert await count.now() == 93
        assert await count.now() == 100


async def _life(client: AsyncMongoClient[dict[str, Any]]) -> object:
    return (await client.admin.command("hello"))["topologyVersion"]["processId"]

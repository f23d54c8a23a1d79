"""The number of stored events is right also after mongod was killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient

from pipeline.errors import MissingPartError
from pipeline.exactcount import ExactCount
from pipeline.local.stack import LocalStack
from pipeline.settings import load


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    """Servers of this test's own, as it kills one."""
    stack = LocalStack(load(os.environ).local, logs_dir=tmp_path)
    try:
        stack.start()
    except MissingPartError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no servers to kill: {error}")
    with stack:
        yield stack


async def test_documents_are_counted_right_after_mongod_was_killed(own_stack: LocalStack) -> None:
    async with AsyncMongoClient[dict[str, Any]](own_stack.mongo_uri) as client:
        collection = client["counted"]["events"]
        count = ExactCount(collection)
        assert await count.now() == 0
        await collection.insert_many([{"n": n} for n in range(3_000)])
        assert await count.now() == 3_000
        own_stack.mongod.kill()
        own_stack.mongod.start()
        _wait_for_primary(own_stack.mongo_uri)
        assert await collection.estimated_document_count() != 3_000, "the premise: the estimate is wrong"
        assert await count.now() == 3_000
        await collection.insert_many([{"n": n} for n in range(500)])
        assert await count.now() == 3_500


def _wait_for_primary(uri: str) -> None:
    deadline_s = time.monotonic() + 60
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=60_000) as client:
        while not client.admin.command("hello").get("isWritablePrimary"):
            assert time.monotonic() < deadline_s
            time.sleep(0.1)

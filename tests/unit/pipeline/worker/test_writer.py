"""What becomes of a document that MongoDB does not take: server trouble is waited out, content is a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import bson
import pytest
from bson import ObjectId

from pipeline.messages.timestamps import record_time
from pipeline.store import CommandFailedError, Document, InsertReply, StoreAwayError
from pipeline.store.commands import insert_reply
from pipeline.worker.batches import MappedBatch, RefusedRecord
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.writer import BatchWriter

BAD = "bad"


class FakeMongo:
    """Stores all but the documents whose props are BAD; in trouble for ``trouble`` answers, as ``how`` has it."""

    def __init__(self, how: str = "", trouble: int = 0, code: int = 171) -> None:
        self.stored: dict[ObjectId, bytes] = {}
        self.how = how
        self.trouble = trouble
        self.code = code
        self.proofs = 0

    async def insert(self, documents: Sequence[Document]) -> InsertReply:
        if self._in_trouble():
            if self.how == "command":
                raise CommandFailedError("interrupted")
            errors = [{"index": at, "code": self.code, "errmsg": "trouble"} for at in range(len(documents))]
            return insert_reply({"n": 0, "writeErrors": errors}, len(documents))
        bad = [at for at, each in enumerate(documents) if each["props"] == {BAD: 1}]
        if self.how == "whole command" and bad:
            raise CommandFailedError("nested too deeply")
        for at, each in enumerate(documents):
            if at not in bad:
                self.stored[each["_id"]] = bson.encode(each)
        errors = [{"index": at, "code": self.code, "errmsg": "no such language"} for at in bad]
        return insert_reply({"n": len(documents) - len(bad), "writeErrors": errors}, len(documents))

    async def prove_writable(self) -> None:
        self.proofs += 1
        if self._in_trouble():
            raise StoreAwayError("not now")

    async def find(self, identifiers: Sequence[ObjectId]) -> dict[ObjectId, bytes]:
        return {each: self.stored[each] for each in identifiers if each in self.stored}

    async def close(self) -> None: ...

    def _in_trouble(self) -> bool:
        self.trouble -= 1
        return self.trouble >= 0


class Letters:
    def __init__(self) -> None:
        self.refusals: list[RefusedRecord] = []

    async def publish(self, refusals: Sequence[RefusedRecord]) -> None:
        self.refusals += refusals


def batch(count: int, bad: Sequence[int]) -> MappedBatch:
    documents: list[Document] = [
        {
            "_id": ObjectId(),
            "event_type": "page_view",
            "user_id": "1",
            "props": {BAD: 1} if n in bad else {"n": n},
            "timestamp": record_time(0),
        }
        for n in range(count)
    ]
    records: list[Any] = [SimpleNamespace(timestamp=0, n=n) for n in range(count)]
    return MappedBatch(0, 0, records, documents, [each["_id"].binary for each in documents])


async def written(mongo: FakeMongo, what: MappedBatch) -> list[RefusedRecord]:
    letters: Any = Letters()
    writer = BatchWriter(mongo, letters, WorkerMetrics(), None, store_name="MongoDB", retry_pause_s=0.001)
    await asyncio.wait_for(writer.write(what), 30)
    refusals: list[RefusedRecord] = letters.refusals
    return refusals


@pytest.mark.parametrize("how", ["document", "whole command"])
@pytest.mark.parametrize("bad", [[0], [7], [0, 1, 7, 19], list(range(20))])
async def test_documents_that_are_refused_are_dead_letters_and_the_others_are_stored(how: str, bad: list[int]) -> None:
    mongo = FakeMongo(how)
    refusals = await written(mongo, batch(20, bad))
    assert sorted((each.record.n, each.reason) for each in refusals) == [(n, "refused") for n in bad]  # type: ignore[attr-defined]
    assert len(mongo.stored) == 20 - len(bad)


@pytest.mark.parametrize("how", ["document", "command"])
@pytest.mark.parametrize("answers", range(1, 9))
async def test_a_problem_of_the_server_is_not_a_dead_letter_however_long_it_lasts(how: str, answers: int) -> None:
    mongo = FakeMongo(how, answers)
    assert await written(mongo, batch(5, [])) == []
    assert len(mongo.stored) == 5


@pytest.mark.parametrize("code", [6, 13, 112, 189, 8000, 10107, 11600, 11601, 14031])
async def test_what_the_server_says_of_itself_is_never_content_though_it_takes_a_control_write(code: int) -> None:
    mongo = FakeMongo("document", 6, code)
    mongo.prove_writable = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
    assert await written(mongo, batch(5, [])) == []
    assert len(mongo.stored) == 5


async def test_refused_document_costs_two_control_writes_and_no_pause() -> None:
    mongo = FakeMongo()
    await written(mongo, batch(2_000, [3, 5, 1_000]))
    assert mongo.proofs == 2

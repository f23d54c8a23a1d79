"""Both drivers behind the one seam: the same tests for each, against a real mongod."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import bson
import pytest
from bson import ObjectId
from msgspec import structs
from pymongo.collection import Collection

from pipeline.errors import SettingError
from pipeline.settings import Mongo, Settings
from pipeline.store import (
    Cause,
    CommandFailedError,
    Document,
    Store,
    StoreAwayError,
    TooLargeError,
    UnencodableError,
    open_store,
)

MiB = 1024 * 1024


@pytest.fixture(params=["motor", "pymongo"])
def mongo(request: pytest.FixtureRequest, settings: Settings) -> Mongo:
    return structs.replace(settings.mongo, driver=request.param, timeout_ms=2_000)


@pytest.fixture
async def store(mongo: Mongo) -> AsyncIterator[Store]:
    store = open_store(mongo, 2)
    yield store
    await store.close()


def document(identifier: ObjectId | None = None, **props: Any) -> Document:
    when = datetime.fromisoformat("2025-11-26T12:00:00.123")
    return {
        "_id": identifier or ObjectId(),
        "event_type": "page_view",
        "user_id": "1",
        "props": props,
        "timestamp": when,
    }


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"a": inner}
    return inner


async def test_batch_is_stored_as_it_is(store: Store, collection: Collection[dict[str, Any]]) -> None:
    documents = [document(n=n) for n in range(100)]
    reply = await store.insert(documents)
    assert (reply.inserted, reply.errors) == (100, ())
    assert list(collection.find(sort=[("_id", 1)])) == documents


async def test_a_known_id_is_reported_and_the_rest_is_stored(
    store: Store, collection: Collection[dict[str, Any]]
) -> None:
    first = document(n=1)
    await store.insert([first])
    reply = await store.insert([document(n=2), document(first["_id"], n=3), document(n=4)])
    assert reply.inserted == 2
    assert [(each.position, each.cause) for each in reply.errors] == [(1, Cause.SAME_ID)]
    assert {each["props"]["n"] for each in collection.find()} == {1, 2, 4}


async def test_unique_index_of_the_users_own_is_not_taken_for_a_known_id(
    store: Store, collection: Collection[dict[str, Any]]
) -> None:
    collection.create_index("props.order", unique=True)
    reply = await store.insert([document(order=1), document(order=1)])
    assert [(each.position, each.cause) for each in reply.errors] == [(1, Cause.UNKNOWN)]


async def test_find_gives_the_bson_that_was_written(store: Store) -> None:
    documents = [document(n=n, text="x" * 20_000) for n in range(1_000)]  # more than one reply can hold
    await store.insert(documents[:500])
    await store.insert(documents[500:])
    found = await store.find([each["_id"] for each in documents] + [ObjectId()])
    assert found == {each["_id"]: bson.encode(each) for each in documents}


@pytest.mark.parametrize("props", [{"n": 2**63}, {"a\0b": 1}, {"text": "\ud800"}], ids=["int", "NUL", "surrogate"])
async def test_what_bson_cannot_hold_stops_the_batch_before_it_is_sent(
    store: Store, collection: Collection[dict[str, Any]], props: dict[str, Any]
) -> None:
    with pytest.raises(UnencodableError):
        await store.insert([document(), document(**props)])
    assert collection.count_documents({}) == 0


async def test_names_with_dollar_and_dot_are_stored(store: Store, collection: Collection[dict[str, Any]]) -> None:
    props = {"$set": 1, "a.b": {"$where": 2}, "": 3, "_id": 4}
    assert (await store.insert([document(**props)])).errors == ()
    found = collection.find_one()
    assert found is not None
    assert found["props"] == props


async def test_nested_too_deeply_may_be_a_matter_of_content(
    store: Store, collection: Collection[dict[str, Any]]
) -> None:
    reply = await store.insert([document(), document(**nested(185))])
    assert [(each.position, each.cause) for each in reply.errors] == [(1, Cause.UNKNOWN)]
    with pytest.raises(CommandFailedError):
        await store.insert([document(), document(**nested(250))])
    assert collection.count_documents({}) == 1


async def test_too_large_together_and_too_large_alone(store: Store, collection: Collection[dict[str, Any]]) -> None:
    with pytest.raises(TooLargeError):
        await store.insert([document(text="x" * (9 * MiB)) for _ in range(2)])
    with pytest.raises(TooLargeError):
        await store.insert([document(text="x" * (17 * MiB))])
    reply = await store.insert([document(text="x" * (16 * MiB))])  # too large for the server only
    assert [each.cause for each in reply.errors] == [Cause.UNKNOWN]
    assert collection.count_documents({}) == 0


@pytest.fixture
def one_node_too_many(servers) -> str:
    """A write concern that waits for more nodes than there are."""
    return str(max(1, len(servers.mongo_member_uris)) + 1)


async def test_write_that_too_few_nodes_acknowledge_is_no_success(mongo: Mongo, one_node_too_many: str) -> None:
    store = open_store(structs.replace(mongo, write_concern=one_node_too_many), 1)
    try:
        with pytest.raises(StoreAwayError, match="not acknowledged"):
            await store.insert([document()])
    finally:
        await store.close()


async def test_write_concern_that_no_server_takes_is_not_the_documents_fault(mongo: Mongo) -> None:
    store = open_store(structs.replace(mongo, journal=True, write_concern="50"), 1)
    try:
        with pytest.raises(StoreAwayError):
            await store.insert([document()])
    finally:
        await store.close()


async def test_server_that_is_not_there_is_away(mongo: Mongo) -> None:
    away = structs.replace(mongo, uri="mongodb://127.0.0.1:1/?directConnection=true", timeout_ms=200)
    store = open_store(away, 1)
    try:
        with pytest.raises(StoreAwayError):
            await store.insert([document()])
        with pytest.raises(StoreAwayError):
            await store.find([ObjectId()])
    finally:
        await store.close()


@pytest.mark.parametrize(
    "uri", ["http://localhost", "mongodb://", "mongodb://a:secret:b@localhost", "mongodb://a:secret@localhost:x"]
)
async def test_uri_that_is_none_is_refused_with_its_setting(mongo: Mongo, uri: str) -> None:
    with pytest.raises(SettingError, match="PIPELINE_MONGO_URI") as caught:
        open_store(structs.replace(mongo, uri=uri), 1)
    assert "secret" not in str(caught.value)


async def test_control_writes_show_that_the_server_takes_writes_and_leave_nothing(
    store: Store, collection: Collection[dict[str, Any]]
) -> None:
    await store.prove_writable()
    collection.database.command("collMod", collection.name, validator={"never": True})  # a rule is no trouble
    await store.prove_writable()
    assert [each.count_documents({}) for each in (collection, collection.database["tidemark_control"])] == [0, 0]


async def test_a_view_takes_no_events_and_they_are_not_to_blame(
    store: Store, collection: Collection[dict[str, Any]]
) -> None:
    collection.drop()
    collection.database.create_collection(collection.name, viewOn="others")
    reply = await store.insert([document(), document()])
    assert [each.cause for each in reply.errors] == [Cause.SERVER, Cause.SERVER]


async def test_control_write_that_too_few_nodes_acknowledge_shows_nothing(mongo: Mongo, one_node_too_many: str) -> None:
    store = open_store(structs.replace(mongo, write_concern=one_node_too_many), 1)
    try:
        with pytest.raises(StoreAwayError):
            await store.prove_writable()
    finally:
        await store.close()

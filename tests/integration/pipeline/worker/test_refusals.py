"""What MongoDB will not take of one document is a dead letter, and the rest goes on; server trouble never is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.collection import Collection

from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

Start = Callable[..., ChildProcess]
Documents = Collection[dict[str, Any]]
Wait = Callable[..., None]


def message(n: int, props: dict[str, Any] | None = None) -> bytes:
    event = {
        "event": "page_view",
        "user_id": "1",
        "timestamp": "2025-11-26T12:00:00Z",
        "props": {"n": n, **(props or {})},
    }
    return json.dumps({**event, "event_id": f"refused-{n}"}).encode()


def _indexed(*keys: tuple[str, Any], **options: Any) -> Callable[[Documents], object]:
    return lambda collection: collection.create_index(list(keys), **options)


def _validated(collection: Documents) -> object:
    return collection.database.command("collMod", collection.name, validator={"props.n": {"$lt": 1_000}})


# What the user has made of the collection, and the props that do not fit it.
CASES: dict[str, tuple[Callable[[Documents], object], dict[str, Any]]] = {
    "text index, unknown language": (_indexed(("props.title", "text")), {"title": "x", "language": "Huttese"}),
    "two arrays in one index": (_indexed(("props.tags", 1), ("props.items", 1)), {"tags": [1, 2], "items": [3]}),
    "hashed index, an array": (_indexed(("props.tags", "hashed")), {"tags": [1]}),
    "geo index, no such place": (
        _indexed(("props.place", "2dsphere")),
        {"place": {"type": "Point", "coordinates": "x"}},
    ),
    "flat geo index, out of bounds": (_indexed(("props.place", "2d")), {"place": [1_000, 1_000]}),
    "unique index": (_indexed(("props.order", 1), unique=True, sparse=True), {"order": 7}),
    "validation": (_validated, {"n": 1_000}),
}


@pytest.mark.parametrize("case", CASES)
def test_event_that_the_collection_refuses_is_a_dead_letter_and_the_rest_is_stored(  # fixtures
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait, case: str
) -> None:
    prepare, props = CASES[case]
    prepare(collection)
    if case == "unique index":
        kafka.send([message(99, props)])
        start_worker(settings)
        wait_until(lambda: collection.count_documents({}) == 1, "the one that has the value")
    else:
        start_worker(settings)
    refused = message(100, props)
    kafka.send([message(0), refused, *(message(n) for n in range(1, 30))])
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    (letter,) = kafka.dead_letters(1)
    assert (letter.value, letter.headers["reason"]) == (refused, "refused")
    assert collection.count_documents({"props.n": {"$lt": 30}}) == 30


def test_event_that_is_refused_alone_and_at_rest_is_a_dead_letter(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    prepare, props = CASES["two arrays in one index"]
    prepare(collection)
    start_worker(settings)
    kafka.send([message(0, props)])
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert [letter.headers["reason"] for letter in kafka.dead_letters(1)] == ["refused"]


def test_an_event_that_is_stored_already_is_not_a_dead_letter_even_if_refused_now(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait
) -> None:
    start_worker(settings)
    twice = message(1_000)
    kafka.send([twice])
    wait_until(lambda: kafka.committed() == kafka.ends(), "the first one")
    _validated(collection)
    kafka.send([twice])
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert kafka.dead_letters(0) == []
    assert collection.count_documents({}) == 1

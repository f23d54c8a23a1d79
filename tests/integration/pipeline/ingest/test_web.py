"""What the API serves to browsers: the tracker always, the demonstration shop only where it is switched on."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import structs

from pipeline.messages.identifiers import new_event_id
from pipeline.settings import Settings
from tests.integration.ingest_api import Answer, Running, connect, get, post, read_answer, request, running, with_api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An API as it is by default, open to one site; it needs neither Kafka nor MongoDB for its files."""
    away = structs.replace(Settings(), kafka=structs.replace(Settings().kafka, bootstrap_servers="127.0.0.1:1"))
    open_to = ("https://shop.example",)
    with running(with_api(away, port=0, cors_origins=open_to), tmp_path_factory.mktemp("web"), kafka=False) as started:
        yield started


def read(api: Running, path: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    with connect(api) as wire:
        wire.sendall(request(path, headers=named, method=method))
        if method == "HEAD":
            head = wire.recv(65_536)
            return Answer(int(head.split(b" ")[1]), {}, head.partition(b"\r\n\r\n")[2])
        return read_answer(wire)


def test_the_tracker_comes_plain_or_compressed(api: Running) -> None:
    plain, compressed = read(api, "/tracker.js"), read(api, "/tracker.js", accept_encoding="gzip, br")
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body
    assert len(compressed.body) <= 3_000
    assert plain.headers["vary"] == compressed.headers["vary"] == "accept-encoding"


def test_a_browser_that_has_the_tracker_need_not_load_it_again(api: Running) -> None:
    for headers in ({}, {"accept_encoding": "gzip"}):
        first = read(api, "/tracker.js", **headers)
        again = read(api, "/tracker.js", **headers, if_none_match=first.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == "public, max-age=600, stale-while-revalidate=86400"
        assert read(api, "/tracker.js", **headers, if_none_match='"other"').status == 200


def test_pages_of_every_origin_may_load_the_tracker(api: Running) -> None:
    headers = read(api, "/tracker.js", origin="https://shop.example").headers
    assert headers["access-control-allow-origin"] == "*"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_page_may_read_how_long_it_is_to_wait(api: Running) -> None:
    answer = post(api, "/track/batch", [{"event": "click", "user_id": "123"}], origin="https://shop.example")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (503, "https://shop.example")
    assert "retry-after" in answer.headers
    assert "retry-after" in answer.headers["access-control-expose-headers"]


def test_head_answers_without_a_body(api: Running) -> None:
    answer = read(api, "/tracker.js", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_the_typescript_types_are_served_beside_the_tracker(api: Running) -> None:
    assert b"export interface Tidemark " in read(api, "/tracker.d.ts").body


@pytest.mark.parametrize(
    "path", ["/demo", "/demo/lamp", "/demo/shop.js", "/demo/stored?ids=01a231cd-65eb-7102-a2c6-14d814cf0553"]
)
def test_there_is_no_shop_unless_it_is_switched_on(api: Running, path: str) -> None:
    assert read(api, path).status == 404


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Iterator[Running]:
    with running(with_api(settings, demo=True), tmp_path) as started:
        yield started


def test_an_event_is_named_as_stored_once_a_worker_has_stored_it(
    shop: Running, settings: Settings, start_worker
) -> None:
    known, unknown = new_event_id(), new_event_id()
    event = {"event": "page_view", "user_id": "123", "event_id": known}
    assert post(shop, "/track", event).status == 200
    path = f"/demo/stored?ids={unknown},{known}"
    before = get(shop, path)
    assert (before.status, before.json) == (200, {"stored": []})
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(get, shop, path)  # waits for it, and may ask again
        start_worker(settings)
        found = asked.result().json["stored"] or get(shop, path).json["stored"]
    assert found == [known]
    assert get(shop, path).headers["cache-control"] == "no-store"


def test_the_shop_runs_under_a_policy_as_strict_as_a_careful_site_s(shop: Running) -> None:
    for path in ("", "/lamp", "/shop.js", "/panel.js", "/shop.css", "/lamp.svg"):
        headers = get(shop, f"/demo{path}").headers
        policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
        assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in headers["content-security-policy"]
        assert (headers["cache-control"], headers["referrer-policy"]) == ("no-cache", "same-origin")


def test_a_question_that_cannot_be_answered_says_why(shop: Running) -> None:
    for ids in ("", "order-1", ",".join(new_event_id() for _ in range(101))):
        answer = get(shop, f"/demo/stored?ids={ids}")
        assert (answer.status, answer.json["code"], answer.json["error"][:4]) == (400, "bad_request", "ids:")


def test_more_questions_than_four_at_once_are_refused(shop: Running) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: get(shop, f"/demo/stored?ids={new_event_id()}"), range(8)))
    assert sorted(each.status for each in answers) == [200] * 4 + [503] * 4
    refused = next(each for each in answers if each.status == 503)
    assert refused.headers["retry-after"] == "1"


def test_while_mongodb_is_away_only_the_question_fails(settings: Settings, tmp_path: Path) -> None:
    uri = "mongodb://me:secret@127.0.0.1:1/?directConnection=true"
    away = structs.replace(settings, mongo=structs.replace(settings.mongo, uri=uri))
    with running(with_api(away, demo=True), tmp_path) as api:
        answer = get(api, f"/demo/stored?ids={new_event_id()}")
        assert (answer.status, answer.json["code"]) == (503, "unavailable")
        assert "MongoDB at mongodb://me:***@127.0.0.1:1/" in answer.json["error"]
        assert "secret" not in answer.json["error"]
        assert get(api, "/demo").status == 200
        assert post(api, "/track", {"event": "page_view", "user_id": "123"}).status == 200

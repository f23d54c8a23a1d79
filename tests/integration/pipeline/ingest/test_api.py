"""Requests of every kind against the API as a process, and what they put on a real Kafka."""

from __future__ import annotations

import asyncio
import gzip
import re
import secrets
import socket
import time
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from aiokafka.partitioner import DefaultPartitioner

from pipeline import provision
from pipeline.settings import Kafka, Settings
from tests.integration.ingest_api import (
    SEED_EVENT,
    Running,
    connect,
    get,
    messages,
    metric,
    post,
    read_answer,
    records,
    request,
    running,
    wait_until,
    with_api,
)

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MAX_BODY_BYTES = 60_000
MAX_DECOMPRESSED_BYTES = 100_000
MAX_BATCH_EVENTS = 200


@pytest.fixture(scope="module")
def shared(servers: Any) -> Iterator[Settings]:
    """Tight bounds, and topics that the tests of this file share: what starts an API of its own is slow."""
    unique = f"t{secrets.token_hex(6)}"
    kafka = Kafka(
        bootstrap_servers=servers.kafka_bootstrap_servers,
        topic_prefix=f"{unique}_events_",
        dead_letter_topic=f"{unique}_dead_letters",
    )
    asyncio.run(provision.create_topics(kafka))
    yield with_api(
        Settings(kafka=kafka),
        port=0,
        max_event_bytes=2_000,
        max_body_bytes=MAX_BODY_BYTES,
        max_decompressed_bytes=MAX_DECOMPRESSED_BYTES,
        max_batch_events=MAX_BATCH_EVENTS,
        request_timeout_s=1.0,
        cors_origins=("https://shop.example",),
    )
    asyncio.run(provision.delete_topics(kafka))


@pytest.fixture(scope="module")
def api(shared: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(shared, tmp_path_factory.mktemp("api")) as started:
        yield started


def in_kafka(settings: Settings, event_ids: Iterable[str]) -> list[ConsumerRecord[bytes, bytes]]:
    """The records of these events, as often as they are there."""
    wanted = set(event_ids)
    return [record for record in records(settings) if msgspec.json.decode(record.value or b"")["event_id"] in wanted]


def test_the_seeds_request_becomes_the_seeds_message(api: Running, shared: Settings) -> None:
    before_ms = time.time_ns() // 1_000_000
    answer = post(api, "/track", SEED_EVENT)
    after_ms = time.time_ns() // 1_000_000
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
    (record,) = in_kafka(shared, [answer.headers["x-event-id"]])
    assert record.topic == shared.kafka.topic_prefix + "page_view"
    assert record.key == b"123"
    assert not record.headers
    assert before_ms <= record.timestamp <= after_ms
    message = msgspec.json.decode(record.value or b"")
    assert list(message) == ["event", "user_id", "props", "timestamp", "event_id"]
    assert {name: message[name] for name in SEED_EVENT} == SEED_EVENT
    assert message["event_id"] == answer.headers["x-event-id"]
    assert UUID7.fullmatch(message["event_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message["timestamp"])


def test_what_the_client_gives_is_kept(api: Running, shared: Settings) -> None:
    event = {
        "event": "Käufe",
        "user_id": "ü\n1",
        "props": {"a": {"b": [1, -(2**63), 0.5, None, True]}},
        "timestamp": "2020-02-29T23:59:59.123456+05:30",
        "event_id": "100 % sicher\r\nSet-Cookie: é",
    }
    answer = post(api, "/track", event)
    assert answer.status == 200
    assert answer.headers["x-event-id"] == "100%20%25%20sicher%0D%0ASet-Cookie%3A%20%C3%A9"
    assert "set-cookie" not in answer.headers
    (record,) = in_kafka(shared, [str(event["event_id"])])
    assert record.topic == shared.kafka.topic_prefix + "generic"
    assert record.key == "ü\n1".encode()
    assert msgspec.json.decode(record.value or b"") == event


def test_a_batch_goes_where_the_producers_own_partitioner_sends_each_user(api: Running, shared: Settings) -> None:
    events = [
        {"event": kind, "user_id": f"user-{number}", "event_id": f"{kind}-{number}"}
        for number in range(60)
        for kind in ("page_view", "signup", "other")
    ]
    answer = post(api, "/track/batch", {"events": events})
    assert (answer.status, answer.json) == (200, {"status": "ok", "accepted": 180, "rejected": []})
    found = in_kafka(shared, [each["event_id"] for each in events])
    assert sorted(msgspec.json.decode(record.value or b"")["event_id"] for record in found) == sorted(
        each["event_id"] for each in events
    )
    partitions = list(range(shared.kafka.partitions))
    chosen = DefaultPartitioner()
    assert {record.partition for record in found} == set(partitions)
    assert all(record.partition == chosen(record.key, partitions, partitions) for record in found)
    assert len({record.timestamp for record in found}) == 1


def test_a_batch_is_taken_without_its_bad_events(api: Running, shared: Settings) -> None:
    good = {"event": "signup", "user_id": "1", "event_id": "good"}
    bad = [{"event": "signup", "event_id": "bad"}, {**good, "event_id": "bad", "props": {"x": "y" * 2_000}}, 7]
    answer = post(api, "/track/batch", [bad[0], good, bad[1], bad[2]])
    assert answer.status == 200
    assert answer.json["accepted"] == 1
    assert [(each["index"], each["code"]) for each in answer.json["rejected"]] == [
        (0, "invalid_event"),
        (2, "event_too_large"),
        (3, "invalid_event"),
    ]
    assert answer.json["rejected"][0]["error"].startswith("user_id: ")
    assert len(in_kafka(shared, ["good"])) == 1
    assert not in_kafka(shared, ["bad"])


def test_a_batch_of_bad_events_alone_is_no_reason_to_try_again(api: Running) -> None:
    answer = post(api, "/track/batch", [{"event": ""}])
    assert (answer.status, answer.json["accepted"], len(answer.json["rejected"])) == (200, 0, 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[]", 400, "invalid_batch"),
        (b'{"events":[]}', 400, "invalid_batch"),
        (b'{"events":{}}', 400, "invalid_batch"),
        (b'{"batch":[]}', 400, "invalid_batch"),
        (b'"events"', 400, "invalid_batch"),
        (b"[" * 20_000, 400, "invalid_json"),
        (b"[" * 50_000, 413, "body_too_large"),
        (b'[{"event":"a","user_id":"b"}', 400, "invalid_json"),
        (b"", 400, "invalid_json"),
        (b"[" + b"1," * MAX_BATCH_EVENTS + b"1]", 413, "too_many_events"),
        (b"[" + b" " * MAX_BODY_BYTES + b"]", 413, "body_too_large"),
    ],
)
def test_a_body_that_is_not_a_batch_is_refused(api: Running, body: bytes, status: int, code: str) -> None:
    answer = post(api, "/track/batch", body)
    assert (answer.status, answer.json["status"], answer.json["code"]) == (status, "error", code)


@pytest.mark.parametrize(
    ("body", "status", "code", "begins"),
    [
        (b"", 400, "invalid_json", "this is not JSON"),
        (b'{"event":"a"', 400, "invalid_json", "this is not JSON"),
        (b'{"event":"a","user_id":5}', 400, "invalid_event", "user_id: expected string, got integer"),
        (b'{"event":"a","user_id":"b","props":{"n":9223372036854775808}}', 400, "invalid_event", "props.n: "),
        (b'{"event":"a","user_id":"b","props":{"x":"' + b"y" * 2_000 + b'"}}', 413, "body_too_large", "the body"),
    ],
)
def test_an_invalid_event_is_refused_with_field_and_reason(
    api: Running, body: bytes, status: int, code: str, begins: str
) -> None:
    answer = post(api, "/track", body)
    assert (answer.status, answer.json["status"], answer.json["code"]) == (status, "error", code)
    assert answer.json["error"].startswith(begins)


def test_beacons_and_bodies_without_a_type_are_read(api: Running) -> None:
    assert post(api, "/track", SEED_EVENT, Content_Type="text/plain;charset=UTF-8").status == 200
    body = msgspec.json.encode(SEED_EVENT)
    with connect(api) as wire:
        wire.sendall(request("/track", body))
        assert read_answer(wire).status == 200


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "image/png", "application/jsonp"])
def test_other_types_are_refused(api: Running, content_type: str) -> None:
    answer = post(api, "/track", SEED_EVENT, Content_Type=content_type)
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")


def test_gzip_is_read_within_its_bound(api: Running, shared: Settings) -> None:
    event = {**SEED_EVENT, "event_id": "zipped"}
    assert post(api, "/track", gzip.compress(msgspec.json.encode(event)), Content_Encoding="gzip").status == 200
    assert len(in_kafka(shared, ["zipped"])) == 1
    bomb = gzip.compress(b" " * (MAX_DECOMPRESSED_BYTES + 1))
    assert len(bomb) < 2_000
    assert post(api, "/track/batch", bomb, Content_Encoding="gzip").status == 413
    assert post(api, "/track", bomb, Content_Encoding="gzip").status == 413
    assert post(api, "/track", gzip.compress(b"{}")[:-1], Content_Encoding="gzip").json["code"] == "invalid_gzip"
    assert post(api, "/track", b"not gzip", Content_Encoding="gzip").json["code"] == "invalid_gzip"
    assert post(api, "/track", zlib.compress(b"{}"), Content_Encoding="deflate").status == 415


def test_a_body_that_never_comes_is_given_up(api: Running) -> None:
    with connect(api) as wire:
        wire.sendall(request("/track", b"x" * 100)[:-50])
        answer = read_answer(wire)
        assert (answer.status, answer.json["code"]) == (408, "request_timeout")
        assert wire.recv(1) == b""


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_body_that_arrives_slowly_gets_no_more_time(api: Running, part: str) -> None:
    whole = request("/track", b"1" * 100, {"X-Long": "x" * 50})
    head, _, body = whole.partition(b"\r\n\r\n")
    with connect(api) as wire:
        if part == "body":
            wire.sendall(head + b"\r\n\r\n")
        answer = _trickle(wire, head if part == "head" else body[:-1])
    assert answer == 408


def _trickle(wire: socket.socket, data: bytes) -> int:
    """Send a byte at a time, each within the bound, and return the status of the answer that comes meanwhile."""
    wire.settimeout(0.1)
    for place in range(len(data)):
        wire.sendall(data[place : place + 1])
        try:
            return int(wire.recv(4096).split(b" ")[1])
        except TimeoutError:
            continue
    return 0


def test_chunks_are_read_within_the_bound(api: Running, shared: Settings) -> None:
    chunked = {"Transfer-Encoding": "chunked"}
    body = msgspec.json.encode({**SEED_EVENT, "event_id": "in chunks"})
    with connect(api) as wire:
        wire.sendall(request("/track", headers=chunked, length=False))
        for place in range(0, len(body), 10):
            part = body[place : place + 10]
            wire.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        wire.sendall(b"0\r\n\r\n")
        assert read_answer(wire).status == 200
        wire.sendall(request("/track", headers=chunked, length=False))
        wire.sendall(b"fff\r\n" + b" " * 0xFFF + b"\r\n")
        assert read_answer(wire).status == 413
    with connect(api) as wire:
        wire.sendall(request("/track", headers=chunked, length=False) + b"zz\r\n")
        assert read_answer(wire).status == 400
    assert len(in_kafka(shared, ["in chunks"])) == 1


def test_a_body_announced_as_too_large_need_not_be_sent(api: Running) -> None:
    head = request("/track", headers={"Expect": "100-continue", "Content-Length": "999999999"}, length=False)
    with connect(api) as wire:
        wire.sendall(head)
        assert read_answer(wire).status == 413
        assert wire.recv(1) == b""


def test_a_connection_serves_on_after_a_refusal(api: Running) -> None:
    with connect(api) as wire:
        for body, status in ((b"{}", 400), (msgspec.json.encode(SEED_EVENT), 200), (b"y" * 5_000, 413)):
            wire.sendall(request("/track", body))
            assert read_answer(wire).status == status
        wire.sendall(request("/track", msgspec.json.encode(SEED_EVENT)))
        assert read_answer(wire).status == 200


def test_every_one_of_500_requests_at_once_is_in_kafka_once(api: Running, shared: Settings) -> None:
    def send(number: int) -> int:
        return post(api, "/track", {**SEED_EVENT, "user_id": str(number), "event_id": f"at-once-{number}"}).status

    with ThreadPoolExecutor(100) as pool:
        assert set(pool.map(send, range(500))) == {200}
    found = in_kafka(shared, [f"at-once-{number}" for number in range(500)])
    assert len({record.value for record in found}) == len(found) == 500


def test_heads_that_come_again_are_taken_as_the_first_time(api: Running) -> None:
    plain = request("/track", msgspec.json.encode(SEED_EVENT))
    longer = request("/track", msgspec.json.encode({**SEED_EVENT, "event_id": "once-more"}))
    wrong = request("/track", b'{"event":1}')
    with connect(api) as wire:
        for data, status in ((plain, 200), (longer, 200), (plain, 200), (wrong, 400), (longer, 200), (plain, 200)):
            wire.sendall(data)
            assert read_answer(wire).status == status
        wire.sendall(longer + plain[:20])  # the next one's beginning comes with it
        assert read_answer(wire).headers["x-event-id"] == "once-more"
        wire.sendall(plain[20:])
        assert read_answer(wire).status == 200
    for _ in range(2):
        with connect(api) as wire:
            wire.sendall(request("/track", msgspec.json.encode(SEED_EVENT), {"Connection": "close"}))
            assert read_answer(wire).headers["connection"] == "close"
            assert wire.recv(1) == b""
    for key in ("Transfer-Encoding", "Expect"):
        for _ in range(2):
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(plain), plain) if key == "Transfer-Encoding" else plain
            value = "chunked" if key == "Transfer-Encoding" else "100-continue"
            with connect(api) as wire:
                wire.sendall(request("/track", body, {key: value}, length=key == "Expect"))
                assert read_answer(wire).status == (400 if key == "Transfer-Encoding" else 100)


def test_clients_that_go_away_leave_nothing_in_flight(api: Running) -> None:
    for cut in (30, 120, None):
        for _ in range(20):
            with connect(api) as wire:
                wire.sendall(request("/track", msgspec.json.encode(SEED_EVENT))[:cut])
    wait_until(lambda: metric(api, "tidemark_api_in_flight_bytes") == 0, "no byte in flight")
    assert metric(api, "tidemark_api_in_flight_events") == 0
    assert post(api, "/track", SEED_EVENT).status == 200


def test_errors_of_http_have_the_same_form(api: Running) -> None:
    missing, wrong = get(api, "/nothing"), get(api, "/track")
    assert (missing.status, missing.json["code"]) == (404, "not_found")
    assert (wrong.status, wrong.json["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"]
    for nonsense in (b"nonsense", b"GET  /a HTTP/1.1", b"GET /\x1f HTTP/1.1", b"GET /\xff HTTP/1.1", b"\x16\x03\x01"):
        with connect(api) as wire:
            wire.sendall(nonsense + b"\r\nHost: x\r\n\r\n")
            assert read_answer(wire).json["code"] == "bad_request"
    with connect(api) as wire:
        wire.sendall(b"P\xc0ST /track HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(wire).json["code"] == "method_not_allowed"
    assert "Traceback" not in api.log


def test_pages_of_allowed_origins_may_send(api: Running) -> None:
    allowed = post(api, "/track", SEED_EVENT, Origin="https://shop.example")
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert "x-event-id" in allowed.headers["access-control-expose-headers"]
    assert allowed.headers["vary"] == "origin"
    other = post(api, "/track", SEED_EVENT, Origin="https://elsewhere.example")
    assert "access-control-allow-origin" not in other.headers
    refused = post(api, "/track", b"{}", Origin="https://shop.example")
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
    with connect(api) as wire:
        wire.sendall(request("/track/batch", headers={"Origin": "https://shop.example"}, method="OPTIONS"))
        preflight = read_answer(wire)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert "x-write-key" in preflight.headers["access-control-allow-headers"]
    assert allowed.headers["access-control-allow-credentials"] == "true"  # a beacon comes with them
    assert preflight.headers["access-control-allow-credentials"] == "true"
    assert "access-control-allow-credentials" not in other.headers


def test_accepted_and_refused_events_are_counted(api: Running) -> None:
    names = (
        "tidemark_api_events_accepted_total",
        "tidemark_api_events_rejected_total",
        "tidemark_api_requests_total",
        "tidemark_api_request_duration_seconds_count",
    )
    before = [metric(api, name) for name in names]
    post(api, "/track", SEED_EVENT)
    post(api, "/track/batch", [SEED_EVENT, SEED_EVENT, {}])
    post(api, "/track", b"{}")
    assert [metric(api, name) - earlier for name, earlier in zip(names, before, strict=True)] == [3, 2, 3, 3]


def test_the_documentation_needs_nothing_from_elsewhere(api: Running) -> None:
    page = get(api, "/docs").body.decode()
    assert get(api, "/docs").headers["content-type"].startswith("text/html")
    links = re.findall(r'(?:src|href)="(/[^"]*)"', page)
    assert len(links) == 3
    assert "http" not in page
    assert all(get(api, link).status == 200 for link in links)
    description = get(api, "/docs/openapi.json").json
    assert {"/track", "/track/batch", "/health/live", "/health/ready", "/metrics"} <= set(description["paths"])
    assert description["paths"]["/health/live"].keys() == {"get", "head"}
    schemas = description["components"]["schemas"]
    assert schemas["Event"]["properties"]["timestamp"]["format"] == "date-time"
    assert [
        each.get("type") or schemas[each["$ref"].rsplit("/")[-1]]["type"] for each in schemas["Batch"]["oneOf"]
    ] == [
        "object",
        "array",
    ]
    references = re.findall(r'"#/components/schemas/(\w+)"', msgspec.json.encode(description).decode())
    assert set(references) <= set(description["components"]["schemas"])


def test_write_keys_are_asked_for(settings: Settings, tmp_path: Path) -> None:
    with running(with_api(settings, write_keys=("first", "sécond")), tmp_path) as api:
        assert post(api, "/track", SEED_EVENT).status == 401
        assert post(api, "/track", SEED_EVENT, X_Write_Key="wrong").json["code"] == "unauthorized"
        assert post(api, "/track", SEED_EVENT, X_Write_Key="first").status == 200
        assert post(api, "/track?write_key=s%C3%A9cond", SEED_EVENT).status == 200
        assert post(api, "/track/batch", [SEED_EVENT]).status == 401
        assert get(api, "/health/ready").status == 200
    assert len(messages(settings)) == 2


def test_write_keys_are_compared_byte_by_byte_however_they_are_written(settings: Settings, tmp_path: Path) -> None:
    with running(with_api(settings, write_keys=("schlüssel", "ключ")), tmp_path) as api:

        def status(key: bytes, path: bytes = b"/track") -> int:
            body = msgspec.json.encode(SEED_EVENT)
            head = b"POST %b HTTP/1.1\r\nHost: api\r\nX-Write-Key: %b\r\nContent-Length: %d" % (path, key, len(body))
            with connect(api) as wire:
                wire.sendall(head + b"\r\n\r\n" + body)
                return read_answer(wire).status

        for key in ("schlüssel".encode(), "schlüssel".encode("latin-1"), "ключ".encode()):
            assert status(key) == 200
        for key in (b"\xff\xfe", b"schl\xc3ssel", b"\xed\xa0\x80", b"\x00", b"?", b"schl?ssel"):
            assert status(key) == 401
        assert status(b"", b"/track?write_key=schl%FCssel") == 200
        assert status(b"", b"/track?write_key=schl%C3%BCssel") == 200
        assert status(b"", b"/track?write_key=%ff%fe") == 401
        assert "Traceback" not in api.log


@pytest.mark.parametrize(("acks", "linger_ms", "compression"), [("1", 5, "gzip"), ("0", 0, "none")])
def test_events_are_published_with_other_codecs_and_acknowledgements(
    settings: Settings, tmp_path: Path, acks: str, linger_ms: int, compression: str
) -> None:
    changed = with_api(settings, acks=acks, linger_ms=linger_ms, compression=compression)
    with running(changed, tmp_path) as api:
        assert post(api, "/track", SEED_EVENT).status == 200
        assert post(api, "/track/batch", [SEED_EVENT] * 100).json["accepted"] == 100
        wait_until(lambda: len(messages(settings)) == 101, "all events are in Kafka")

"""Hostile clients against the API as a process: no request of theirs keeps others waiting."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import resource
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import provision
from pipeline.settings import Kafka, Settings
from tests.integration.ingest_api import (
    SEED_EVENT,
    WAIT_S,
    Running,
    connect,
    get,
    post,
    read_answer,
    request,
    running,
    wait_until,
    with_api,
)
from tests.integration.pipeline.ingest.hostile_bodies import BODIES

STALL_S = 0.5  # ten times what is promised, for a machine that is busy; unbounded work took 1 to 74 s
SLOW_CLIENTS = 1_000
NORMAL_REQUESTS = 60


def stalls(api: Running, longer_than_s: float) -> float:
    """How often the event loop woke later than that: what kept it busy kept all requests waiting."""
    lines = get(api, "/metrics").body.decode().splitlines()
    values = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
    name = "tidemark_api_event_loop_lag_seconds"
    return values[f"{name}_count"] - values[f'{name}_bucket{{le="{longer_than_s}"}}']


@pytest.fixture(scope="module")
def api(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The API with its own bounds, and topics that it makes no use of: what is refused needs none."""
    unique = f"t{secrets.token_hex(6)}"
    kafka = Kafka(
        bootstrap_servers=servers.kafka_bootstrap_servers,
        topic_prefix=f"{unique}_events_",
        dead_letter_topic=f"{unique}_dead_letters",
    )
    asyncio.run(provision.create_topics(kafka))
    with running(with_api(Settings(kafka=kafka), port=0), tmp_path_factory.mktemp("api")) as started:
        yield started
    asyncio.run(provision.delete_topics(kafka))


@pytest.mark.parametrize("name", BODIES)
def test_no_body_holds_the_event_loop(api: Running, name: str) -> None:
    make, is_gzip = BODIES[name]
    body = make()
    assert len(body) <= 4 * 1024 * 1024
    before = stalls(api, STALL_S)
    answer = post(api, "/track/batch", body, **({"Content_Encoding": "gzip"} if is_gzip else {}))
    assert answer.status in {200, 400, 413, 503}
    assert stalls(api, STALL_S) == before


def test_thousands_of_requests_in_one_piece_let_others_in_between(api: Running) -> None:
    many = request("/health/live", method="GET") * 8_000
    before = stalls(api, 0.1)
    with connect(api) as wire:
        sending = threading.Thread(target=wire.sendall, args=(many,), daemon=True)
        sending.start()
        answered, deadline_s = 0, time.monotonic() + WAIT_S
        while answered < len(many) // len(request("/health/live", method="GET")) and time.monotonic() < deadline_s:
            answered += wire.recv(1 << 20).count(b"HTTP/1.1 200")
        sending.join()
    assert stalls(api, 0.1) == before


def slow(kind: str) -> Iterator[bytes]:
    """What a slow client sends, a piece at a time."""
    large = {"Content-Length": "4000000"}
    method, _, path = kind.partition(" ")
    if method == "UNREAD":
        yield request(path, method="GET") * 20
        while True:
            yield b""
    if method == "HEADLESS":
        yield b"POST /track HTTP/1.1\r\nX-Slow: "
    elif method == "IDLE":
        yield b""
    elif method == "CHUNKED":
        yield request(path, headers={"Transfer-Encoding": "chunked"}, length=False)
        yield b"5\r\n"
    else:
        yield request(path, headers=large, method=method, length=False)
    while True:
        yield b"1"


def with_small_buffer(api: Running) -> socket.socket:
    """A connection on which the kernel keeps little of what its client does not read."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    wire.settimeout(WAIT_S)
    wire.connect(("127.0.0.1", api.port))
    return wire


SLOW = (
    "GET /health/live",
    "GET /docs",
    "GET /docs/swagger-ui-bundle.js",
    "OPTIONS /track",
    "POST /nope",
    "PUT /track",
    "POST /track",
    "POST /track/batch",
    "CHUNKED /track/batch",
    "HEADLESS x",
    "IDLE x",
    "UNREAD /docs/swagger-ui-bundle.js",
    "UNREAD /docs",
)


@pytest.fixture
def many_files() -> None:
    """This process opens as many as the API refuses to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("kind", SLOW)
def test_a_thousand_slow_clients_keep_nobody_out(settings: Settings, tmp_path: Path, kind: str) -> None:
    few_files = ("sh", "-c", 'ulimit -n 1024 && exec "$@"', "sh")
    with running(settings, tmp_path, before=few_files) as api, contextlib.ExitStack() as opened:
        wires = [opened.enter_context(with_small_buffer(api)) for _ in range(SLOW_CLIENTS)]
        pieces = [slow(kind) for _ in wires]
        stop = threading.Event()

        def trickle() -> None:
            while not stop.is_set():
                for wire, each in zip(wires, pieces, strict=True):
                    with contextlib.suppress(OSError):  # it was closed, which is well
                        wire.sendall(next(each))
                stop.wait(0.5)

        trickling = threading.Thread(target=trickle, daemon=True)
        trickling.start()
        try:
            time.sleep(1.0)
            statuses, slowest_s = [], 0.0
            for _ in range(NORMAL_REQUESTS):
                began = time.monotonic()
                statuses.append(post(api, "/track", SEED_EVENT).status)
                slowest_s = max(slowest_s, time.monotonic() - began)
                time.sleep(0.05)
        finally:
            stop.set()
            trickling.join()
        print(f"{kind}: slowest {slowest_s:.3f} s")  # noqa: T201
        assert statuses == [200] * NORMAL_REQUESTS
        assert slowest_s < 10.0  # they would wait for the slow ones' time-outs, which are longer
        assert "Traceback" not in api.log


def resident_bytes(api: Running) -> int:
    pid = api.process.pid
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_the_body_of_a_refused_request_is_not_kept_in_memory(settings: Settings, tmp_path: Path) -> None:
    clients, sent_bytes = 30, 3_500_000
    for head in ("GET /docs", "OPTIONS /track", "POST /nope", "GET /health/ready"):
        method, path = head.split(" ")
        # Each has an API of its own: what one has kept and freed, the next would be given again.
        with running(settings, tmp_path) as api, contextlib.ExitStack() as opened:
            before = resident_bytes(api)
            for _ in range(clients):
                wire = opened.enter_context(connect(api))
                wire.settimeout(0.5)
                wire.sendall(request(path, headers={"Content-Length": "4000000"}, method=method, length=False))
                with contextlib.suppress(OSError):
                    wire.sendall(b"x" * sent_bytes)
            time.sleep(2.0)  # until the API has read what the kernel holds
            assert resident_bytes(api) - before < clients * sent_bytes / 3, head


def test_files_that_are_not_read_are_not_kept(settings: Settings, tmp_path: Path) -> None:
    path, clients = "/docs/swagger-ui-bundle.js", 100
    with running(settings, tmp_path) as api, contextlib.ExitStack() as opened:
        size_bytes = len(get(api, path).body)
        before = resident_bytes(api)
        for _ in range(clients):
            wire = opened.enter_context(with_small_buffer(api))
            wire.sendall(request(path, method="GET") * 10)
        time.sleep(2.0)
        assert resident_bytes(api) - before < clients * size_bytes / 3


def test_head_is_answered_wherever_get_is(api: Running) -> None:
    for path in (
        "/health/live",
        "/health/ready",
        "/metrics",
        "/docs",
        "/docs/openapi.json",
        "/docs/swagger-ui-bundle.js",
    ):
        with connect(api) as wire:
            for _ in range(2):  # the second one would find the first one's body
                wire.sendall(request(path, method="HEAD", length=False))
                head = wire.recv(65_536)
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert head.endswith(b"\r\n\r\n")


def test_odd_bytes_in_headers_are_no_crash(api: Running) -> None:
    odd = (b"\xff\xfe", b"\xc3\xa9", b"\xed\xa0\x80", b"\x00", b"\x1b[0m", b"=?utf-8?q?x?=", b"%ff", b"")
    names = (
        b"X-Write-Key",
        b"Content-Type",
        b"Content-Encoding",
        b"Content-Length",
        b"Origin",
        b"Host",
        b"Expect",
        b"Transfer-Encoding",
        b"Connection",
        b"Cookie",
        b"Accept",
        b"Forwarded",
        b"X-Forwarded-For",
        b"\xff",
    )
    for name in names:
        for value in odd:
            for path in (b"/track", b"/health/live", b"/track?write_key=%ff%fe&a=%zz"):
                with connect(api) as wire:
                    wire.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + name + b": " + value + b"\r\n\r\n")
                    status = read_answer(wire).status
                    assert status < 500, (name, value, path, status)
    assert "Traceback" not in api.log


def test_a_batch_is_taken_without_the_event_that_is_not_json(api: Running) -> None:
    good = b'{"event":"signup","user_id":"u"}'
    for bad, field in (
        (b'{"event":"m","user_id":"\\ud83d"}', "user_id: "),
        (b'{"event":"m","user_id":"u","props":{"price":NaN}}', "props.price: "),
        (b'{"event":"m","user_id":"u","props":{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}}", "props: "),
    ):
        answer = post(
            api, "/track/batch", gzip.compress(b"[" + good + b"," + bad + b"," + good + b"]"), Content_Encoding="gzip"
        )
        assert (answer.status, answer.json["accepted"]) == (200, 2)
        (rejected,) = answer.json["rejected"]
        assert rejected["index"] == 1
        assert rejected["error"].startswith(field)


def test_the_api_still_works_after_all_hostile_requests(api: Running) -> None:
    wait_until(lambda: b"tidemark_api_in_flight_bytes 0.0" in get(api, "/metrics").body, "nothing is in flight")
    assert post(api, "/track", SEED_EVENT).status == 200
    assert "Traceback" not in api.log

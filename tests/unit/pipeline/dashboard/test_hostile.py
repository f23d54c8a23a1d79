"""The dashboard's server among clients that mean it harm: rubbish, guesses, crowds, and those that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import AsyncIterator

import httpx
import msgspec
import psutil
import pytest

from pipeline.dashboard import application
from pipeline.dashboard.activity import activity_of
from pipeline.dashboard.aggregate import DAY, MINUTE, Aggregate, start_of
from pipeline.dashboard.hub import Hub
from pipeline.dashboard.rows import Row, RowsOfMinute
from pipeline.dashboard.sketches import _hash_of_short
from pipeline.dashboard.tally import Tallies
from tests.unit.pipeline.dashboard.records import MINUTE_MS, NOON_MS
from tests.unit.pipeline.dashboard.server import TOKEN, Figures, figures, serving
from tests.unit.pipeline.dashboard.test_activity import NO_LATENCY

BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def shown() -> Figures:
    return figures()


@pytest.fixture
async def server(shown: Figures) -> AsyncIterator[tuple[str, Hub]]:
    async with serving(shown) as found:
        yield found


async def exchange(url: str, sent: bytes) -> bytes:
    """What the server answers to these bytes, until it ends the connection or has no more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    try:
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.3):
                return await reader.read(65_536)
        return b""
    finally:
        writer.close()


CHANCE = random.Random(15)  # noqa: S311  a test's
RUBBISH = [
    b"\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://elsewhere.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b;" * 1_500 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nCookie: tidemark_dashboard=\xff\xfe\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: :::99999999999\r\nAuthorization: Bearer\r\n\r\n",
    b"GET /?token=%ff%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 3_000,
    *(CHANCE.randbytes(400) for _ in range(10)),
]


async def test_rubbish_shows_nothing_and_harms_nobody(
    server: tuple[str, Hub], caplog: pytest.LogCaptureFixture
) -> None:
    url, hub = server
    answers = await asyncio.gather(*(exchange(url, each) for each in RUBBISH))
    assert not [each for each in answers if each.startswith((b"HTTP/1.1 200", b"HTTP/1.1 500"))]
    assert not [each for each in answers if b"root:" in each or b"Traceback" in each]
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        assert (await client.get("/snapshot", headers=BEARER)).status_code == 200
    assert hub.viewers == 0


async def test_many_wrong_tokens_open_nothing_lock_nobody_out_and_are_not_logged(
    server: tuple[str, Hub], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(base_url=server[0], timeout=20, limits=limits) as client:
        guesses = [TOKEN[:-1] + chr(33 + at % 90) + str(at) for at in range(90)]
        answers = await asyncio.gather(
            *(client.post("/login", data={"token": each}) for each in guesses[:30]),
            *(client.get("/", params={"token": each}) for each in guesses[30:60]),
            *(client.get("/snapshot", headers={"authorization": f"Bearer {each}"}) for each in guesses[60:]),
        )
        assert {each.status_code for each in answers} == {401}
        assert (await client.get("/snapshot", headers=BEARER)).status_code == 200
        assert (await client.get("/", params={"token": TOKEN})).status_code == 303
    written = [each.getMessage() for each in caplog.records if not each.name.startswith(("httpx", "httpcore"))]
    assert not [each for each in written if TOKEN[:-1] in each]


async def test_of_a_thousand_viewers_as_many_are_let_in_as_may_be(server: tuple[str, Hub]) -> None:
    url, hub = server
    port = int(url.rsplit(":", 1)[1])
    asked = f"GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    most = 0

    async def view() -> tuple[bytes, asyncio.StreamWriter | None]:
        nonlocal most
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asked)
            first = await reader.readline()
        except OSError:
            return b"", None
        most = max(most, hub.viewers)
        return first, writer

    found = await asyncio.gather(*(view() for _ in range(1_000)))
    let_in = [first for first, _ in found if first.startswith(b"HTTP/1.1 200")]
    assert len(let_in) == most == 3
    for _, writer in found:
        if writer is not None:
            writer.close()
    async with asyncio.timeout(20):
        while hub.viewers:  # noqa: ASYNC110  what it waits for sets no event
            await asyncio.sleep(0.02)
    assert (await exchange(url, asked)).startswith(b"HTTP/1.1 200")


def is_connected(client: socket.socket) -> bool:
    """Whether the other end of ``client``, in this process too, still holds the connection."""
    mine = client.getsockname()
    ends = psutil.Process().net_connections("tcp")
    return any(end.raddr == mine and end.status == psutil.CONN_ESTABLISHED for end in ends)


async def test_a_viewer_that_does_not_read_is_let_go_and_the_others_go_on(
    server: tuple[str, Hub], shown: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_SEND_S", 0.5)
    url, hub = server
    shown.health = msgspec.structs.replace(shown.health, partitions=shown.health.partitions * 20_000)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(slow, ("127.0.0.1", int(url.rsplit(":", 1)[1])))
        await loop.sock_sendall(
            slow, f"GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        async with asyncio.timeout(20):
            while not hub.viewers:  # noqa: ASYNC110  what it waits for sets no event
                await asyncio.sleep(0.02)
            async with httpx.AsyncClient(base_url=url, timeout=20, headers=BEARER) as client:
                while hub.viewers:
                    assert (await client.get("/health/live")).status_code == 200
                    await asyncio.sleep(0.05)
            while is_connected(slow):  # noqa: ASYNC110  as above; it still does not read
                await asyncio.sleep(0.05)
    finally:
        slow.close()


# ---- names and users without end -----------------------------------------------------------------------------------


def hostile_rows(minute: int, count: int) -> list[Row]:
    return [
        Row(at, at % 6, f"type {minute} {at} " + "t" * 300, f"u{minute}-{at}", f"/{minute}/{at}" + "x" * 500, f"r{at}")
        for at in range(minute * count, (minute + 1) * count)
    ]


def test_a_hundred_thousand_names_in_a_minute_make_a_small_document_and_a_small_page() -> None:
    now_ms = NOON_MS + 10 * MINUTE_MS + 3_000  # the last step is over
    minutes, day, tallies = [], Aggregate(DAY, start_of(DAY, NOON_MS)), Tallies([])
    for number in range(10):
        part = RowsOfMinute("p", NOON_MS + number * MINUTE_MS, hostile_rows(number, 100_000 if number == 9 else 1_000))
        minutes.append(Aggregate(MINUTE, part.minute_ms).with_parts([part], tallies))
        day = day.with_parts([part], tallies) or day
    found = [each for each in minutes if each is not None]
    assert found[-1].events == 100_000
    assert len(msgspec.json.encode(activity_of(now_ms, found, [day], NO_LATENCY, ()))) < 64 * 1024
    rates = activity_of(now_ms, found, [day], NO_LATENCY, ()).recent
    assert len(rates.series) == 12
    assert rates.series[-1].name == "(other)"
    shown = sum(sum(each.per_s) for each in rates.series) * rates.step_ms / 1_000
    assert shown == pytest.approx(sum(each.events for each in found), rel=1e-3)


def test_of_very_long_texts_none_stays_in_memory() -> None:
    _hash_of_short.cache_clear()
    rows = [Row(at, 0, "a", f"{at}" + "u" * 100_000, "", "") for at in range(20)]
    found = Aggregate(MINUTE, NOON_MS).with_parts([RowsOfMinute("p", NOON_MS, rows)], Tallies([]))
    assert found is not None
    assert found.users.estimate() == pytest.approx(20, abs=1)
    assert _hash_of_short.cache_info().currsize == 0

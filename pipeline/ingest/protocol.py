"""Sanic's HTTP protocol with more bounds: connections per process, time for a head, time for an unwanted body.

A process takes as many connections as it may open files, minus some for itself. At that bound, a new connection
replaces those that have waited longest: for their clients to send a request, to send the rest of one, or to read an
answer, or for the turn of a pipelined request. So slow or idle clients never keep another one out. Only running
requests do, and those end.
"""

from __future__ import annotations

import asyncio
import heapq
import resource
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, cast

from sanic.compat import Header
from sanic.exceptions import SanicException
from sanic.http import Http, Stage
from sanic.server import HttpProtocol

_SPARE_FILES = 100
_MOST_CONNECTIONS = 10_000
_SHED_AT_ONCE = 0.02  # of all connections: finding those that waited longest has to look at each
_LONGEST_HEAD, _MOST_HEADS = 1_024, 4_096
_DISCARD_S = 1.0
_DISCARD_BYTES = 8 * 1024 * 1024
_READS_OF_A_TURN = 1_000
_LAST_WORD_S = 1.0
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 92\r\n\r\n"
    b'{"code":"unavailable","error":"too many connections; try again in 1 s","status":"error"}    '
)


def max_connections() -> int:
    """Return how many connections a process takes: as many files as it may open, less some for itself."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return min(_MOST_CONNECTIONS, max(allowed - _SPARE_FILES, allowed // 4))


class _Head(NamedTuple):
    """What Sanic made of a head, all that it may be used again for."""

    method: str
    url: str
    url_bytes: bytes
    headers: Header
    body_bytes: int


_heads: dict[bytes, _Head] = {}
"""Heads as they came, byte by byte: a client's are alike but for the length, and few bodies differ in that."""


class _Http(Http):
    """Sanic's side of a connection, without what makes it fail over a URL that is none.

    A head that came before, byte by byte, is not taken apart again: that is a tenth of what a request costs Sanic.
    """

    async def http1_request_header(self) -> None:
        """As Sanic's."""
        arrival: Any = self.protocol._data_received  # noqa: SLF001 - there is no other access to it
        if arrival.waited:
            arrival.waited = False
        else:  # this came in one piece with the request before, as thousands may on each of a thousand connections
            arrival.is_queued = True
            async with self.protocol.app.ctx.pipelined:
                await asyncio.sleep(0)
            arrival.is_queued = False
        buffer = self.recv_buffer
        end = buffer.find(b"\r\n\r\n", 0, _LONGEST_HEAD + 4)
        raw = bytes(buffer[:end]) if end > 0 else b""
        head = _heads.get(raw)
        if head is None:
            await super().http1_request_header()  # type: ignore[no-untyped-call]
            self._remember()
        else:
            self._take(head, raw)
        whole: Any = self.request_body  # True: its length is known; Sanic's annotation is not what it does
        if whole is True and self.request_bytes == 0:  # else Sanic wants it read all the same
            self.request_body = None

    def _take(self, head: _Head, raw: bytes) -> None:
        """Be as if Sanic had read ``head`` once more, which is ``raw`` on the wire."""
        protocol: Any = self.protocol
        buffer = self.recv_buffer
        self.url = head.url
        self.head_only = False
        self.upgrade_websocket = False
        self.keep_alive = bool(protocol.app.config.KEEP_ALIVE)
        request = protocol.request_class(
            url_bytes=head.url_bytes,
            headers=head.headers,  # which it copies
            head=raw,
            version="1.1",
            method=head.method,
            transport=protocol.transport,
            app=protocol.app,
        )
        protocol.request_class._current.set(request)  # noqa: SLF001 - as Sanic does, for whoever asks for it
        self.request_body = True  # type: ignore[assignment]  # Sanic's annotation is not what it does
        self.request_bytes = self.request_bytes_left = head.body_bytes
        del buffer[: len(raw) + 4]
        self.request, request.stream = request, self
        protocol.state["requests_count"] += 1

    def _remember(self) -> None:
        """Keep the head that was just read, if it is as most are: of a request with a body of known length."""
        request = self.request
        headers = request.headers
        if (
            len(request.head) > _LONGEST_HEAD
            or request.version != "1.1"
            or request.method != "POST"
            or not isinstance(self.request_body, bool)  # it is chunked, or there is none
            or any(name in headers for name in ("expect", "connection", "upgrade"))
        ):
            return
        if len(_heads) >= _MOST_HEADS:
            _heads.clear()
        _heads[request.head] = _Head(
            request.method, self.url, self.url.encode("ascii"), Header(headers), self.request_bytes
        )

    def take_body(self) -> bytes | None:
        """Return the body as Sanic's ``read`` would, in one piece and at once; None where it has to be waited for."""
        buffer = self.recv_buffer
        size: Any = self.request_bytes_left
        whole: Any = self.request_body  # True: its length is known; Sanic's annotation is not what it does
        if whole is not True or self.expecting_continue or len(buffer) < size:
            return None
        with memoryview(buffer) as view:
            body = bytes(view[:size])
        del buffer[:size]
        self.request_bytes_left = 0
        self.request_body = None
        return body

    async def read_into(self, body: bytearray) -> None:
        """Append what has arrived, or wait for the next bytes; makes a third of the copies of Sanic's ``read``."""
        whole: Any = self.request_body
        if whole is not True or self.expecting_continue:
            body += await self.read() or b""
            return
        left: Any = self.request_bytes_left
        buffer = self.recv_buffer
        if not buffer:
            await self._receive_more()
        size = min(left, len(buffer))
        with memoryview(buffer) as view:
            body += view[:size]
        del buffer[:size]
        self.request_bytes_left = left - size
        if size == left:
            self.request_body = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Read and discard the rest of a body: Sanic does so after an answer, so that the client can read the answer.

        It does so for a short time only; then it closes the connection.
        """
        if self.take_body() is not None:
            return
        self.request_max_size = _DISCARD_BYTES
        reads = 0
        try:
            async with asyncio.timeout(_DISCARD_S):
                while self.request_body:
                    await self.read()
                    reads += 1
                    if reads % _READS_OF_A_TURN == 0:
                        await asyncio.sleep(0)
        except (TimeoutError, SanicException):
            self.keep_alive = False
            self.request_body = None
        return
        yield b""  # makes it what Sanic expects

    def create_empty_request(self) -> None:
        """As Sanic's, which would parse the same URL once more."""
        self.url = None
        super().create_empty_request()


class _Arrival:
    """What Sanic asks of an ``asyncio.Event`` while one task waits for data, at a third of what that costs."""

    __slots__ = ("_is_set", "_loop", "_waiter", "is_queued", "waited")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None
        self.waited = True
        """Whether the event loop ran other work since this was last set to False, or since the connection was made."""
        self.is_queued = False
        """Whether the next request, pipelined, waits for its turn."""

    @property
    def is_waited_for(self) -> bool:
        """Whether nothing goes on until the client sends something."""
        return self._waiter is not None and not self._waiter.done()

    def set(self) -> None:
        """There is data."""
        self._is_set = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def clear(self) -> None:
        """There is none."""
        self._is_set = False

    def wait(self) -> asyncio.Future[None]:
        """Return what has its result once there is data."""
        waiter = self._waiter = self._loop.create_future()
        self.waited = True
        if self._is_set:
            waiter.set_result(None)
        return waiter


class BoundedHttpProtocol(HttpProtocol):
    """Refuses connections beyond :func:`max_connections`; a head that trickles in gets no more time."""

    HTTP_CLASS = _Http
    max_connections = max_connections()

    def __init__(self, *, loop: asyncio.AbstractEventLoop, **others: Any) -> None:
        """As Sanic makes it."""
        super().__init__(loop=loop, **others)
        self._data_received = _Arrival(loop)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, if necessary in place of those that wait for their clients; else answer 503."""
        if len(self.connections) >= self.max_connections and not self._make_room():
            refused = cast("asyncio.WriteTransport", transport)
            refused.write(FULL)
            refused.close()
            return
        super().connection_made(transport)  # type: ignore[no-untyped-call]

    def _make_room(self) -> bool:
        """Close the connections that have waited longest for their clients; return whether there were any."""
        waiting = [each for each in self.connections if each.waits_for_client]
        number = max(1, round(self.max_connections * _SHED_AT_ONCE))
        for each in heapq.nsmallest(number, waiting, key=_time_of):
            each.shed()
        return bool(waiting)

    @property
    def waits_for_client(self) -> bool:
        """Whether nothing goes on here until the client sends something or reads its answer, or it only pipelines."""
        arrival: Any = self._data_received
        return bool(arrival.is_waited_for or arrival.is_queued) or not self._can_write.is_set()

    def shed(self) -> None:
        """Close this connection, which waits for its client; answer first if a request has begun."""
        transport = self.transport
        if transport is None:
            return
        if not self._can_write.is_set():
            self.connections.discard(self)
            transport.abort()
            return
        if self.http is not None and self.http.stage in (Stage.REQUEST, Stage.HANDLER):
            transport.write(FULL)
        self.connections.discard(self)  # no longer counted, although the loop closes it later
        # Not this class's own close: Sanic fails after it if a request has no head yet.
        transport.close()
        self.loop.call_later(_LAST_WORD_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """As Sanic's, except that not each byte of a request starts its time anew."""
        since = self._time
        in_request = self._task is not None and self.http is not None and self.http.stage is not Stage.IDLE
        super().data_received(data)
        if in_request:
            self._time = since

    def connection_lost(self, error: Exception | None) -> None:
        """Clean up, unless the connection was never taken."""
        if self.transport is not None or self._task is not None:
            super().connection_lost(error)  # type: ignore[no-untyped-call]


def _time_of(connection: BoundedHttpProtocol) -> float:
    return connection._time  # noqa: SLF001 - when its request began, or its last answer was sent

"""Sanic's HTTP protocol with two more bounds: connections of a process, and time for a request's head."""

from __future__ import annotations

import asyncio
import resource
from typing import Any, NamedTuple, cast

from sanic.compat import Header
from sanic.http import Http, Stage
from sanic.server import HttpProtocol

_SPARE_FILES = 100
_MOST_CONNECTIONS = 10_000
_LONGEST_HEAD, _MOST_HEADS = 1_024, 4_096
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 92\r\n\r\n"
    b'{"code":"unavailable","error":"too many connections; try again in 1 s","status":"error"}    '
)


def max_connections() -> int:
    """Give how many connections a process takes: as many files as it may open, less some for itself."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(1, min(_MOST_CONNECTIONS, allowed - _SPARE_FILES))


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
        buffer = self.recv_buffer
        end = buffer.find(b"\r\n\r\n", 0, _LONGEST_HEAD + 4)
        raw = bytes(buffer[:end]) if end > 0 else b""
        head = _heads.get(raw)
        if head is None:
            await super().http1_request_header()  # type: ignore[no-untyped-call]
            self._remember()
        else:
            self._take(head, raw)

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
        """Give the body as Sanic's ``read`` would, in one piece and at once; None where it has to be waited for."""
        buffer = self.recv_buffer
        size: Any = self.request_bytes_left
        whole: Any = self.request_body  # True: its length is known; Sanic's annotation is not what it does
        if whole is not True or self.expecting_continue or len(buffer) < size:
            return None
        body = bytes(buffer[:size])
        del buffer[:size]
        self.request_bytes_left = 0
        self.request_body = None
        return body

    def create_empty_request(self) -> None:
        """As Sanic's, which would parse the same URL once more."""
        self.url = None
        super().create_empty_request()


class _Arrival:
    """What Sanic asks of an ``asyncio.Event`` while one task waits for data, at a third of what that costs."""

    __slots__ = ("_is_set", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

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
        """Give what has its result once there is data."""
        waiter = self._waiter = self._loop.create_future()
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
        """Take the connection, or answer 503 and close it."""
        if len(self.connections) >= self.max_connections:
            refused = cast("asyncio.WriteTransport", transport)
            refused.write(FULL)
            refused.close()
            return
        super().connection_made(transport)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """As Sanic's, except that each byte of a head does not start its time anew."""
        since = self._time
        in_head = self._task is not None and self.http is not None and self.http.stage is Stage.REQUEST
        super().data_received(data)
        if in_head:
            self._time = since

    def connection_lost(self, error: Exception | None) -> None:
        """Clean up, unless the connection was never taken."""
        if self.transport is not None or self._task is not None:
            super().connection_lost(error)  # type: ignore[no-untyped-call]

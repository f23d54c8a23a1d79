"""Sanic's HTTP protocol with two more bounds: connections of a process, and time for a request's head."""

from __future__ import annotations

import asyncio
import resource
from typing import cast

from sanic.http import Http, Stage
from sanic.server import HttpProtocol

_SPARE_FILES = 100
_MOST_CONNECTIONS = 10_000
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


class _Http(Http):
    """Sanic's side of a connection, without what makes it fail over a URL that is none."""

    def create_empty_request(self) -> None:
        """As Sanic's, which would parse the same URL once more."""
        self.url = None
        super().create_empty_request()


class BoundedHttpProtocol(HttpProtocol):
    """Refuses connections beyond :func:`max_connections`; a head that trickles in gets no more time."""

    HTTP_CLASS = _Http
    max_connections = max_connections()

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

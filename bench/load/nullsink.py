"""A server that answers as the API would and keeps nothing, so that nothing holds up the generator.

    python -m bench.load.nullsink

It listens on a free port of the loopback address, says which, and answers until it is asked to end (SIGTERM).
Of HTTP it knows what the generator sends: requests with a Content-Length, one after the other on a connection.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import cast

from bench.load import stubserver
from pipeline.local.ports import HOST
from pipeline.local.process import ChildProcess
from traffic.payload import BATCH_PATH

_MOST_HEAD_BYTES = 64 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EVENT = b'"event_id":'
_BATCH = b"POST " + BATCH_PATH.encode() + b" "
_ONE = b'{"status":"ok"}'
_MANY = b'{"status":"ok","accepted":%d,"rejected":[]}'


def null_sink(logs: Path) -> ChildProcess:
    """Return the null sink, not started yet; :func:`bench.load.stubserver.url_of` returns its address."""
    return stubserver.process("null-sink", "bench.load.nullsink", logs)


class NullSinkConnection(asyncio.Protocol):
    """One connection: answers each request as soon as all of it is there."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own, of no base class

    def data_received(self, data: bytes) -> None:
        """Answer what is complete now; what is no request closes the connection."""
        self._received += data
        try:
            while (answer := self._next()) is not None:
                self._transport.write(answer)
        except ValueError:
            self._transport.close()

    def _next(self) -> bytes | None:
        """Take the next request, if it is complete, and return the answer to it; ValueError where it is none."""
        received = self._received
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            if len(received) > _MOST_HEAD_BYTES:
                raise ValueError("a head without an end")
            return None
        length = _LENGTH.search(received, 0, head_end)
        if length is None:
            raise ValueError("a request without a length")
        end = head_end + 4 + int(length[1])
        if len(received) < end:
            return None
        batch = received.startswith(_BATCH)
        body = _MANY % received.count(_EVENT, head_end, end) if batch else _ONE
        del received[:end]
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(NullSinkConnection, HOST, 0, backlog=stubserver.BACKLOG)
    await stubserver.answer_until_stopped(server.sockets[0].getsockname()[1])
    server.close()


if __name__ == "__main__":
    stubserver.run(_serve)

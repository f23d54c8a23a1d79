"""A small real HTTP server for the load test's own tests: it remembers every event, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

RESET = 0  # a status that stands for: read the request, then reset the connection


@dataclass(frozen=True)
class Served:
    """One request as it arrived, and the status that it was answered with."""

    path: str
    events: tuple[dict[str, Any], ...]
    arrived_ns: int
    status: int


@dataclass
class Behaviour:
    """How to answer: the status for request number n; which events of each batch are rejected; and more."""

    status: Callable[[int], int] = lambda number: 200  # noqa: ARG005 - the default does not look at it
    rejected: Callable[[int], tuple[int, ...]] = lambda number: ()  # noqa: ARG005 - likewise
    close_unannounced: bool = False
    stall_at: int | None = None
    stall_s: float = 0.0


@dataclass
class Target:
    """Serves on a port of its own, in a thread of its own, while it is entered."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    served: list[Served] = field(default_factory=list)
    stalled_ns: tuple[int, int] | None = None
    url: str = ""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def tidemarks(self) -> list[int]:
        """The packed identities of all events that arrived, in order of arrival."""
        return [event["props"]["tidemark"] for request in self.served for event in request.events]

    async def _start(self) -> asyncio.Server:
        self._running = asyncio.Event()
        self._running.set()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether there may be another one on this connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        arrived_ns = time.monotonic_ns()
        number = len(self.served)
        status = self.behaviour.status(number)
        path = head[0].split()[1]
        self.served.append(Served(path, _events_of(body), arrived_ns, status))
        await self._maybe_stall(number)
        if status == RESET:
            writer.transport.abort()
            return False
        rejected = [
            {"index": index, "code": "test", "error": "on purpose"} for index in self.behaviour.rejected(number)
        ]
        answer = json.dumps({"status": "ok", "rejected": rejected}).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
        await writer.drain()
        return not self.behaviour.close_unannounced

    async def _maybe_stall(self, number: int) -> None:
        """From request ``stall_at`` on, nobody is answered for ``stall_s``."""
        if number == self.behaviour.stall_at:
            self._running.clear()
            began_ns = time.monotonic_ns()
            await asyncio.sleep(self.behaviour.stall_s)
            self.stalled_ns = (began_ns, time.monotonic_ns())
            self._running.set()
        await self._running.wait()


def _events_of(body: bytes) -> tuple[dict[str, Any], ...]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # hostile requests
        return ()
    if not isinstance(content, dict):
        return ()
    events = content.get("events", [content])
    return tuple(events) if isinstance(events, list) else ()

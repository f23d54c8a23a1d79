"""A small client for one HTTP server: raw requests over so many connections, each sent when the last is answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from itertools import cycle
from typing import cast
from urllib.parse import urlsplit

import numpy as np

from bench.ceilings import material, meter
from bench.ceilings.meter import LoopMeasurement, Meter, Reading
from bench.ceilings.task import Deadline, Task
from bench.errors import RepeatError
from bench.evidence import durations
from pipeline.settings import Settings

_DIFFERENT_EVENTS = 10_000  # that are prepared; their requests come round again
_FEWEST_REQUESTS, _MOST_REQUESTS = 10, 2_000
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ACCEPTED = b"HTTP/1.1 200 "
_MOST_BYTES = 64 * 1024  # of an answer


async def measure(task: Task, _: Settings) -> LoopMeasurement:
    """Load the server at ``task.url`` and measure it while all connections are at work.

    Raises:
        RepeatError: the server answered with anything but 200, closed a connection, or did not answer.
    """
    loop, parts = task.loop, urlsplit(task.url)
    different = material.fitting(_DIFFERENT_EVENTS, task.traffic) // loop.batch
    number = max(_FEWEST_REQUESTS, min(different, _MOST_REQUESTS))
    requests = material.http_requests(task.traffic, number, loop.batch, parts.netloc)
    load = Load(requests, loop.warm_up // loop.batch, loop.events // loop.batch, task.longest_s, Meter(task.pids).read)
    running = asyncio.get_running_loop()
    connections = [
        (await running.create_connection(lambda: LoadConnection(load), parts.hostname or "", parts.port or 80))[1]
        for _ in range(loop.connections)
    ]
    material.settle()
    try:
        for connection in connections:
            connection.send()
        async with asyncio.timeout(2 * task.longest_s):
            before, after = await load.done
    except TimeoutError as error:
        raise RepeatError(f"the server at {task.url} does not answer") from error
    finally:
        for connection in connections:
            connection.close()
    took = durations.percentiles(np.array(load.took_ns, dtype=np.int64))
    return meter.measured(before, after, load.counted * loop.batch, took)


class Load:
    """What is sent and what came back; shared by all connections."""

    def __init__(
        self, requests: list[bytes], warm_up: int, most: int, longest_s: float, read: Callable[[], Reading]
    ) -> None:
        """``warm_up`` answers are not counted, then up to ``most``; ``read`` is asked when counting begins and ends."""
        self._requests = cycle(requests)
        self._warm_up, self._most, self._read = max(1, warm_up), most, read
        self._answered = 0
        self._before: Reading | None = None
        self._longest_s = longest_s
        self._deadline = Deadline(longest_s)
        self.took_ns: list[int] = []
        self.done: asyncio.Future[tuple[Reading, Reading]] = asyncio.get_running_loop().create_future()

    @property
    def counted(self) -> int:
        """How many answers count."""
        return len(self.took_ns)

    def next(self) -> bytes:
        """Return the next request."""
        return next(self._requests)

    def answered(self, took_ns: int) -> bool:
        """Take note of an answer; say whether more is to be sent."""
        if self.done.done():
            return False
        self._answered += 1
        if self._before is not None:
            self.took_ns.append(took_ns)
            if self.counted >= self._most or self._deadline.passed:
                self.done.set_result((self._before, self._read()))
                return False
        elif self._answered >= self._warm_up or self._deadline.passed:
            self._before = self._read()
            self._deadline = Deadline(self._longest_s)
        return True

    def failed(self, why: str) -> None:
        """Stop, with ``why`` as the error."""
        if not self.done.done():
            self.done.set_exception(RepeatError(why))


class LoadConnection(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, sends again."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport
        self._received = b""
        self._sent_ns = 0
        self._usual = b""  # the last whole answer: most are alike, and need not be taken apart

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the server."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own, of no base class

    def send(self) -> None:
        """Send the next request."""
        self._sent_ns = time.monotonic_ns()
        self._transport.write(self._load.next())

    def close(self) -> None:
        """Close it."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Put an answer together; when it is whole, send again."""
        received = self._received + data if self._received else data
        if received != self._usual and not self._is_whole(received):
            self._received = received
            return
        self._received = b""
        if self._load.answered(time.monotonic_ns() - self._sent_ns):
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        """A connection that ends before the load is done ends the load."""
        self._load.failed(f"the server closed a connection ({error or 'without an error'})")

    def _is_whole(self, received: bytes) -> bool:
        """Say whether this is a whole answer; one that is none, or a refusal, ends the load."""
        head_end = received.find(b"\r\n\r\n")
        length = _LENGTH.search(received, 0, head_end + 2) if head_end >= 0 else None
        if head_end < 0:
            if len(received) > _MOST_BYTES:
                self._load.failed("the server's answer has a head without an end")
            return False
        if not received.startswith(_ACCEPTED) or length is None:
            self._load.failed(f"the server answered {received[:head_end].splitlines()[0].decode('latin-1')}")
            return False
        whole = len(received) >= head_end + 4 + int(length[1])
        if whole:
            self._usual = received
        return whole

"""One process of the API: builds the parts, answers until it is stopped, then drains."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import uvloop
from sanic.server import AsyncioServer

from pipeline import looplag, sanicserver
from pipeline.brokenwrites import patch_aiokafka
from pipeline.ingest.access import WriteAccess
from pipeline.ingest.admission import Admission
from pipeline.ingest.application import build
from pipeline.ingest.listeners import BACKLOG
from pipeline.ingest.metrics import IngestMetrics
from pipeline.ingest.protocol import BoundedHttpProtocol
from pipeline.ingest.publishing.publisher import Publisher
from pipeline.ingest.routes import IngestDependencies
from pipeline.ingest.slices import TimeSlices
from pipeline.metrics import SharedMetrics
from pipeline.observer import Observer
from pipeline.settings import Mongo, Settings

if TYPE_CHECKING:
    from pipeline.web.stored import StoredEvents

_FIRST_ATTEMPT_S = 3.0
_OBSERVE_S = 0.5
_GATHER_S = 0.02
_LAST_WORD_S = 2.0  # of the shutdown's time, for what Kafka still has to acknowledge
_GC_THRESHOLD = 50_000


def serve_on(
    listener: socket.socket,
    settings: Settings,
    shared: SharedMetrics | None,
    *,
    on_ready: Callable[[], None],
    lifeline: int | None = None,
    observer: Observer | None = None,
) -> None:
    """Answer on ``listener`` until SIGTERM or SIGINT, or until ``lifeline`` (a pipe's end) is closed; then drain."""
    patch_aiokafka()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listener, settings, shared, on_ready, lifeline, observer))


async def _serve(
    listener: socket.socket,
    settings: Settings,
    shared: SharedMetrics | None,
    on_ready: Callable[[], None],
    lifeline: int | None,
    observer: Observer | None,
) -> None:
    api = settings.api
    stop = _stop_event(lifeline)
    server: AsyncioServer | None = None
    dependencies = IngestDependencies(
        settings=settings,
        admission=Admission(api.max_in_flight_events, api.max_in_flight_bytes, shared=len(api.write_keys) > 1),
        publisher=Publisher(settings, lambda: len(server.connections) if server is not None else 0),
        access=WriteAccess(api),
        metrics=IngestMetrics(shared),
        slices=TimeSlices(api.room_timeout_s),
    )
    stored = _stored_events(settings.mongo) if api.demo else None
    server = await sanicserver.prepare(build(dependencies, stored), listener, BACKLOG, BoundedHttpProtocol)
    publishing = asyncio.create_task(dependencies.publisher.run(), name="publisher")
    # Connections wait in the kernel's queue meanwhile: better than 503 from a process that has just begun.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_ATTEMPT_S):
            await dependencies.publisher.attempted.wait()
    await server.start_serving()  # type: ignore[no-untyped-call]
    # What is there now stays: the collector need not look at it again, and seldom at anything.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
    async with _observing(dependencies), looplag.watching(dependencies.metrics.loop_lag.observe, observer):
        on_ready()
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait((publishing, stopped), return_when=asyncio.FIRST_COMPLETED)
        deadline = asyncio.get_running_loop().time() + api.shutdown_timeout_s
        await _drain(server, deadline - _LAST_WORD_S)
        stopped.cancel()
        publishing.cancel()
        await asyncio.wait((publishing,))
        await dependencies.publisher.close(max(0.1, deadline - asyncio.get_running_loop().time()))
    if stored is not None:
        await stored.close()
    if observer is not None:
        observer.close()
    if not publishing.cancelled():
        publishing.result()  # raises: it ends unasked only where something is wrong that nobody foresaw


def _stored_events(mongo: Mongo) -> StoredEvents:
    from pipeline.web.stored import StoredEvents  # noqa: PLC0415  only the demonstration shop needs MongoDB's driver

    return StoredEvents(mongo)


def _stop_event(lifeline: int | None) -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    if lifeline is not None:

        def parent_gone() -> None:
            loop.remove_reader(lifeline)
            stop.set()

        loop.add_reader(lifeline, parent_gone)
    return stop


async def _drain(server: AsyncioServer, deadline: float) -> None:
    """Take no connection and no further request on one; return when all in hand are answered, or at ``deadline``.

    Sanic's own shutdown begins by closing what the handlers still need: hence not through its listeners.
    """
    server.app.config.KEEP_ALIVE = False  # heads that are read from now on
    listening = server.server
    if listening is None:
        return
    listening.close()
    loop = asyncio.get_running_loop()
    while server.connections and loop.time() < deadline:
        for connection in tuple(server.connections):
            if connection.http is not None:
                connection.http.keep_alive = False
            connection.close_if_idle()
        await asyncio.sleep(_GATHER_S)
    for connection in tuple(server.connections):
        connection.abort()


@contextlib.asynccontextmanager
async def _observing(dependencies: IngestDependencies) -> AsyncIterator[None]:
    """Keep the gauges current, for whichever process is asked for them."""

    async def observe() -> None:
        reconnects = 0
        while True:
            dependencies.metrics.observe(dependencies.admission, dependencies.publisher)
            dependencies.metrics.reconnects.inc(dependencies.publisher.reconnects - reconnects)
            reconnects = dependencies.publisher.reconnects
            await asyncio.sleep(_OBSERVE_S)

    task = asyncio.create_task(observe(), name="observe")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

"""The dashboard's process: settings in, exit code out. Everything is built and taken down here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import uvloop
from msgspec import structs
from pymongo.errors import PyMongoError
from sanic.server import AsyncioServer

from pipeline import logs, sanicserver
from pipeline.addresses import url
from pipeline.brokenwrites import patch_aiokafka
from pipeline.dashboard.access import TokenCheck, new_token
from pipeline.dashboard.activity import ActivityReader
from pipeline.dashboard.aggregate import MINUTE, SCALES
from pipeline.dashboard.aggregator import Aggregator, kept
from pipeline.dashboard.application import DashboardDependencies, build
from pipeline.dashboard.database import Database
from pipeline.dashboard.files import page_files
from pipeline.dashboard.health import HealthReader
from pipeline.dashboard.hub import Hub, Readers
from pipeline.dashboard.newest import newest
from pipeline.dashboard.sampler import Sampler, Unseen
from pipeline.errors import SettingError, TidemarkError
from pipeline.ingest.listeners import BACKLOG, listen
from pipeline.ingest.protocol import BoundedHttpProtocol
from pipeline.settings import Settings
from pipeline.store.exactcount import ExactCount
from pipeline.worker.waiting import Waiting

log = logging.getLogger(__name__)

_CRASHED = 3
_INDEX_PAUSE_S = 2.0
_SPARE_CONNECTIONS = 100  # beside the viewers': requests are short
_DRAIN_S = 1.0


class _Protocol(BoundedHttpProtocol):
    """The API's bounds on slow and idle clients, with fewer connections."""


def run(settings: Settings) -> int:
    """Serve and count until SIGTERM or SIGINT; return the exit code.

    Prints ``dashboard ready on URL`` once it answers; with a token of its own making in the URL.
    """
    logs.configure("aiokafka", "pymongo", "sanic")
    logs.thin_out("aiokafka")
    patch_aiokafka()
    try:
        listener = _listen(settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listener))
    except TidemarkError as error:
        log.error("%s", error)  # noqa: TRY400  the message says what to do; a traceback would hide it
        return error.exit_code
    except Exception:
        log.exception("the dashboard crashed; what it did not count is counted at the next start")
        return _CRASHED
    return 0


def _listen(settings: Settings) -> socket.socket:
    asked = structs.replace(settings.api, host=settings.dashboard.host, port=settings.dashboard.port, processes=1)
    try:
        return listen(asked)[0]
    except SettingError as error:
        name = error.setting.replace("_API_", "_DASHBOARD_")
        raise SettingError(name, error.value, error.remedy) from error


async def _serve(settings: Settings, listener: socket.socket) -> None:
    dashboard = settings.dashboard
    token = dashboard.token or new_token()
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    database = Database(settings.mongo)
    health, stored = HealthReader(settings), ExactCount(database.events)
    sampler = Sampler(settings, database, kept(dashboard)[MINUTE]) if dashboard.samples_per_s else None
    activity = ActivityReader(database, dashboard.funnel)
    hub = Hub(
        Readers(
            activity=lambda: activity.read(sampler.unseen if sampler else Unseen()),
            stored=stored.now,
            health=health.read,
        ),
        mongo=database.where,
        kafka=f"Kafka at {settings.kafka.bootstrap_servers}",
        refresh_s=dashboard.refresh_s,
        most=dashboard.max_viewers,
        counts=dashboard.aggregate,
    )
    dependencies = DashboardDependencies(TokenCheck(token), hub, page_files(), lambda wanted: newest(database, wanted))
    try:
        async with _running(hub.run()), _running(_make_indexes(database)):
            server = await _start(dependencies, listener, dashboard.max_viewers)
            made = "" if dashboard.token else f"/?token={token}"
            sys.stdout.write(f"dashboard ready on {url(dashboard.host, listener.getsockname()[1])}{made}\n")
            sys.stdout.flush()
            async with _sampling(sampler), _counting(settings, database):
                await stop.wait()
                await _drain(server, hub)
    finally:
        await stored.close()
        await health.close()
        await database.close()


async def _start(dependencies: DashboardDependencies, listener: socket.socket, viewers: int) -> AsyncioServer:
    _Protocol.max_connections = min(BoundedHttpProtocol.max_connections, viewers + _SPARE_CONNECTIONS)
    server = await sanicserver.prepare(build(dependencies), listener, BACKLOG, _Protocol)
    await server.start_serving()  # type: ignore[no-untyped-call]
    return server


async def _drain(server: AsyncioServer, hub: Hub) -> None:
    if server.server is not None:
        server.server.close()
    hub.close()
    until_s = asyncio.get_running_loop().time() + _DRAIN_S
    while server.connections and asyncio.get_running_loop().time() < until_s:
        for connection in tuple(server.connections):
            connection.close_if_idle()
        await asyncio.sleep(0.02)
    for connection in tuple(server.connections):
        connection.abort()


async def _make_indexes(database: Database) -> None:
    waiting = Waiting(database.where, _INDEX_PAUSE_S)
    while True:
        try:
            await database.make_indexes(SCALES)
        except PyMongoError as error:
            await waiting.pause(error)
        else:
            waiting.over()
            return


@contextlib.asynccontextmanager
async def _counting(settings: Settings, database: Database) -> AsyncIterator[None]:
    if not settings.dashboard.aggregate:
        yield
        return
    aggregator = Aggregator(settings, database)
    counting = asyncio.create_task(aggregator.run(), name="aggregator")
    try:
        yield
    finally:
        aggregator.stop()
        await asyncio.wait({counting}, timeout=settings.dashboard.shutdown_timeout_s + 1)
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


@contextlib.asynccontextmanager
async def _sampling(sampler: Sampler | None) -> AsyncIterator[None]:
    if sampler is None:
        yield
        return
    async with _running(sampler.run()):
        yield


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let ``work`` go on beside the block; what it raises is logged, because the rest is of use without it."""
    task = asyncio.create_task(_logged(work))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("a part of the dashboard failed; the rest goes on")

"""The whole pipeline on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

from msgspec import Struct, structs

from pipeline import provision
from pipeline.addresses import url
from pipeline.commands.display import StatusDisplay, StatusRow
from pipeline.commands.progress import EventCounts, open_counter
from pipeline.commands.supervision import Roles
from pipeline.dashboard.access import new_token
from pipeline.errors import ProcessFailedError, UsageError
from pipeline.local import mongodb, stackspec
from pipeline.local.jars import cache_folder
from pipeline.local.ports import HOST, claim
from pipeline.local.process import ChildProcess
from pipeline.local.stack import LocalStack
from pipeline.settings import Api, Dashboard, Kafka, Mongo, Settings

_LOOK_EVERY_S = 1.0
_OWN_SERVERS = ("PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI")


class UpOptions(Struct, frozen=True):
    """What the command line asks of ``up`` beside the settings; a port of 0 is any free one."""

    workers: int = 1
    kafka_port: int = 9092
    mongo_port: int = 27017
    zookeeper_port: int = 2181
    logs_dir: Path | None = None
    demo: bool = True
    dashboard: bool = True


def run(settings: Settings, options: UpOptions, environment: Mapping[str, str]) -> int:
    """Bring everything up, show what is where and how far it is, until SIGINT or SIGTERM; return 0.

    Raises:
        UsageError: a port is taken, or only one of two servers was named.
        MissingPartError: a part cannot be had on this machine.
        ProcessFailedError: a part did not come up, or does not stay up.
    """
    own_servers = names_own_servers(settings, environment)
    api_port = claim(settings.api.port, "the API", "choose another with --api-port", settings.api.host)
    api = structs.replace(settings.api, port=api_port, demo=settings.api.demo or options.demo)
    settings = structs.replace(settings, api=api)
    given_token = settings.dashboard.token
    if options.dashboard:
        settings = _with_dashboard(settings)
    logs_dir = options.logs_dir or cache_folder(settings.local.cache_dir) / "logs" / f"up-{api_port}"
    display = StatusDisplay()
    with _Signals() as signals, contextlib.ExitStack() as cleanup:
        cleanup.callback(display.settle)
        stack = None
        if not own_servers:
            stack = LocalStack(
                settings.local,
                logs_dir=logs_dir,
                kafka_port=options.kafka_port,
                mongo_port=options.mongo_port,
                zookeeper_port=options.zookeeper_port,
            )
            cleanup.callback(_end_stack, stack, display)
            stack.start(display.step)
            settings = _on(stack, settings, environment)
        display.step("making topics and indexes")
        start = asyncio.run(_provision(settings, display))
        roles = Roles(settings, workers=options.workers, logs_dir=logs_dir, dashboard=options.dashboard)
        cleanup.callback(roles.stop, display.step)
        beside = " and the dashboard" if options.dashboard else ""
        display.step(f"starting the API, {options.workers} {_plural(options.workers, 'worker')}{beside}")
        roles.start()
        signals.up = True
        display.table(places(settings, options, logs_dir, stack))
        if options.dashboard:
            display.note(f"watch it:  {dashboard_link(settings.dashboard, shows_token=not given_token)}")
        display.note(f"try it:  {example(settings.api)}")
        if settings.api.demo:
            display.note(f"or in a browser:  {demo_url(settings.api)}")
        display.note(f"look at it:  {find_command(settings.mongo, local=stack is not None)}")
        asyncio.run(_until_stopped(settings, _Watched(roles, stack, start, set()), display, signals))
        display.note("ending; Ctrl-C once more ends everything at once")
    display.note("everything has ended")
    return 0


def names_own_servers(settings: Settings, environment: Mapping[str, str]) -> bool:
    """Whether the user named servers of their own, by environment or file.

    Raises:
        UsageError: one was named and the other was not.
    """
    named = [
        _OWN_SERVERS[0] in environment or settings.kafka.bootstrap_servers != Kafka().bootstrap_servers,
        _OWN_SERVERS[1] in environment or settings.mongo.uri != Mongo().uri,
    ]
    if any(named) and not all(named):
        missing = _OWN_SERVERS[named.index(False)]
        message = f"only one server of your own is named: name the other one too in {missing}, or neither to have both started here"  # noqa: E501
        raise UsageError(message)
    return all(named)


def places(settings: Settings, options: UpOptions, logs_dir: Path, stack: LocalStack | None) -> tuple[StatusRow, ...]:
    """Return the table of what is where."""
    kafka, mongo, api = settings.kafka, settings.mongo, settings.api
    versions = [f"{stack.versions.kafka}, ", f"{stack.versions.mongod}, "] if stack else ["", ""]
    return (
        StatusRow(
            "API",
            url(api.host, api.port),
            f"{api.processes} {_plural(api.processes, 'process')}, /docs describes its requests",
        ),
        *_zookeeper_place(stack),
        StatusRow("Kafka", kafka.bootstrap_servers, f"{versions[0]}topics {', '.join(provision.wanted_topics(kafka))}"),
        StatusRow("MongoDB", mongo.shown_uri, f"{versions[1]}events in {mongo.database}.{mongo.collection}"),
        StatusRow("Workers", settings.worker.group_id, f"{options.workers} in this consumer group"),
        StatusRow("Logs", str(logs_dir)),
    )


def _zookeeper_place(stack: LocalStack | None) -> tuple[StatusRow, ...]:
    if stack is None or stack.zookeeper is None:
        return ()
    return (
        StatusRow(
            "ZooKeeper", f"{HOST}:{stack.zookeeper_port}", f"{stack.versions.zookeeper}, coordinates the brokers"
        ),
    )


def dashboard_link(dashboard: Dashboard, *, shows_token: bool) -> str:
    """Return the dashboard's address; with the token if that was made here, and is known to nobody else."""
    address = url(dashboard.host, dashboard.port)
    return f"{address}/?token={dashboard.token}" if shows_token else f"{address}, with PIPELINE_DASHBOARD_TOKEN"


def example(api: Api) -> str:
    """Return a command that sends one event."""
    event = '{"event":"page_view","user_id":"123","props":{"url":"/home","ref":"google"}}'
    return f"curl -X POST {url(api.host, api.port)}/track -H 'Content-Type: application/json' -d '{event}'"


def demo_url(api: Api) -> str:
    """Return the address of the demonstration shop; where the API asks for a write key, with a place for one."""
    return url(api.host, api.port) + ("/demo?write_key=YOUR_KEY" if api.write_keys else "/demo")


def find_command(mongo: Mongo, *, local: bool) -> str:
    """Return a command that prints what :func:`example` stored; the URI of the user's own servers is set already."""
    found = (
        f"PIPELINE_MONGO_URI={shlex.quote(mongo.uri)} "
        if local and mongo.uri != mongodb.uri(UpOptions().mongo_port)
        else ""
    )
    return found + """./tidemark find '{"user_id": "123"}'"""


def _with_dashboard(settings: Settings) -> Settings:
    """Return the settings with a port and a token of the dashboard."""
    dashboard = settings.dashboard
    port = claim(dashboard.port, "the dashboard", "choose another with --dashboard-port", dashboard.host)
    token = dashboard.token or new_token()
    return structs.replace(settings, dashboard=structs.replace(dashboard, port=port, token=token))


def _on(stack: LocalStack, settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Return the settings on these servers; topics have as many copies as these are made for, unless the user says."""
    copies = stackspec.copies_of(stack.spec)
    said = {name for name in copies if f"PIPELINE_KAFKA_{name}".upper() in environment}
    said |= {name for name in copies if getattr(settings.kafka, name) != getattr(Kafka(), name)}
    if "replication_factor" in said and "min_insync_replicas" not in said:
        replication = settings.kafka.replication_factor
        wrong = stackspec.copies_problem(replication, stack.spec.brokers)
        if wrong:
            raise UsageError(f"PIPELINE_KAFKA_REPLICATION_FACTOR={replication} cannot be used: {wrong}")
        copies["min_insync_replicas"] = stackspec.least_in_sync(replication)
    own = {name: value for name, value in copies.items() if name not in said}
    return structs.replace(
        settings,
        kafka=structs.replace(settings.kafka, bootstrap_servers=stack.kafka_bootstrap_servers, **own),
        mongo=structs.replace(settings.mongo, uri=stack.mongo_uri),
    )


async def _provision(settings: Settings, display: StatusDisplay) -> EventCounts:
    """Make topics and indexes; return the counts before the first event."""
    topics, _ = await asyncio.gather(provision.create_topics(settings.kafka), provision.create_indexes(settings.mongo))
    for topic in topics:
        if topic.partitions < topic.wanted:
            display.note(
                f"topic {topic.name} has {topic.partitions} of {topic.wanted} partitions: "
                "`./tidemark init --grow` adds the others"
            )
    async with open_counter(settings) as counter:
        return await counter.measure()


class _Watched(NamedTuple):
    """What is looked after while all is up, the counts that it began with, and the servers whose death was reported."""

    roles: Roles
    stack: LocalStack | None
    start: EventCounts
    reported: set[str]


async def _until_stopped(settings: Settings, watched: _Watched, display: StatusDisplay, signals: _Signals) -> None:
    """Show progress and look after the children until a signal comes."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals.wake = lambda: loop.call_soon_threadsafe(stopped.set)
    try:
        async with open_counter(settings) as counter:
            while not signals.asked:
                _look_after(watched, display)
                display.live((await counter.measure()).since(watched.start))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), _LOOK_EVERY_S)
    finally:
        signals.wake = lambda: None  # the loop is gone by then


def _look_after(watched: _Watched, display: StatusDisplay) -> None:
    """Start roles again that died; report a server that died, and end if the others need it."""
    if watched.stack is not None:
        for group in watched.stack.groups:
            _look_at(group, watched.reported, display)
    watched.roles.revive(display.note)


def _look_at(group: Sequence[ChildProcess], reported: set[str], display: StatusDisplay) -> None:
    """Report which servers of ``group`` have died.

    Raises:
        ProcessFailedError: no majority of them is left.
    """
    dead = [each for each in group if not each.running()]
    for server in dead:
        died = f"{server.name} died (exit code {server.returncode})"
        if 2 * len(dead) >= len(group):
            raise ProcessFailedError(f"{died}; {server.last_words()}")
        if server.name not in reported:
            reported.add(server.name)
            display.note(f"{died}; the {len(group) - len(dead)} others go on; see {server.log_path}")


def _end_stack(stack: LocalStack, display: StatusDisplay) -> None:
    display.step("Kafka and MongoDB end")
    stack.stop()


class _Signals:
    """SIGINT and SIGTERM, by what is going on.

    The first one asks for the end in order: before everything is ``up`` by KeyboardInterrupt, then
    by ``asked`` and a call of ``wake``. A second one ends this process at once, and the guards all
    that it started.
    """

    def __init__(self) -> None:
        self.up = False
        self.asked = False
        self.wake: Callable[[], object] = lambda: None
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        self._before = [(number, signal.signal(number, self._handle)) for number in (signal.SIGINT, signal.SIGTERM)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            os._exit(128 + number)
        self.asked = True
        if not self.up:
            raise KeyboardInterrupt
        self.wake()


def _plural(count: int, noun: str) -> str:
    if count == 1:
        return noun
    return noun + ("es" if noun.endswith("s") else "s")

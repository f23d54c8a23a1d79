"""Kafka and MongoDB for a run: started for it and stopped after it, or the user's own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import structs
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bench.errors import DeadServerError
from bench.targets import listening
from bench.targets.processes import NICENESS
from pipeline.local import stackspec
from pipeline.local.process import ChildProcess
from pipeline.local.stack import LocalStack
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Settings

# A group forms only once all of its workers are there: no consumer gets a head start. They are let in together
# (bench/targets/tidemark.py), and each that comes within this time of the one before it is waited for.
_REBALANCE_DELAY_MS = 300
_LOOK_S = 0.5
_ASK_MS = 5_000
_LONGEST_LINE = 240  # mongod's are of JSON

_Given = TypeVar("_Given")


@dataclass(frozen=True)
class Servers:
    """Kafka and MongoDB as the run uses them; ``pids`` by role, where they run here; ``versions``, empty if not ours.

    ``kafka_counters_urls``: where the brokers' own counters are; empty where they are not ours. ``mongo_member_uris``:
    of each member; empty likewise. ``processes``: ours. ``spec``: what they are made of; None: the user's own.
    """

    settings: Settings
    pids: Mapping[str, list[int]]
    versions: Mapping[str, str]
    kafka_counters_urls: tuple[str, ...] = ()
    mongo_member_uris: tuple[str, ...] = ()
    spec: StackSpec | None = None
    processes: tuple[ChildProcess, ...] = ()

    def expect_running(self) -> None:
        """Check that the servers that were started for the run still run.

        Raises:
            DeadServerError: one of them has ended; the message shows its last lines.
        """
        for each in self.processes:
            if not each.running():
                ended = f"{each.name}, which was started for this run, {each.ending}"
                words = "\n".join(line[:_LONGEST_LINE] for line in each.last_words().splitlines())
                raise DeadServerError(f"{ended}; {words}")

    async def beside(self, work: Coroutine[Any, Any, _Given]) -> _Given:
        """Return the result of ``work``; cancel it if a server of ours ends first.

        Raises:
            DeadServerError: a server has ended.
        """
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=_LOOK_S))[0]:
                self.expect_running()
            self.expect_running()  # if one has ended, that is why the work failed
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])


@contextlib.contextmanager
def at_hand(
    settings: Settings,
    logs_dir: Path,
    on_progress: Callable[[str], None],
    *,
    local: bool,
    spec: StackSpec | None = None,
) -> Iterator[Servers]:
    """Return the servers that ``settings`` name or, if ``local``, some started on this machine for the block.

    ``spec``: what is started; None: what the settings say.

    Raises:
        MissingPartError, UsageError, ProcessFailedError: they cannot be had, or did not come up.
    """
    if not local:
        yield Servers(settings, listening.server_pids(settings), {})
        return
    stack = LocalStack(
        settings.local,
        logs_dir=logs_dir,
        spec=spec,
        group_initial_rebalance_delay_ms=_REBALANCE_DELAY_MS,
        niceness=NICENESS,
        kafka_counters=True,
    )
    try:
        stack.start(on_progress)
        started = structs.replace(
            settings,
            kafka=structs.replace(
                settings.kafka, bootstrap_servers=stack.kafka_bootstrap_servers, **stackspec.copies_of(stack.spec)
            ),
            mongo=structs.replace(settings.mongo, uri=stack.mongo_uri),
        )
        yield Servers(
            settings=started,
            pids=stack.pids,
            versions=msgspec.to_builtins(stack.versions),
            kafka_counters_urls=stack.kafka_counters_urls,
            mongo_member_uris=stack.mongo_member_uris,
            spec=stack.spec,
            processes=stack.processes,
        )
    finally:
        stack.stop()


def folder_of(spec: StackSpec) -> str:
    """Name a folder for what the servers of ``spec`` print."""
    given = [f"{name}={stackspec.as_text(value)}" for name, value in (*spec.kafka, *spec.mongod)]
    shape = f"{spec.coordination}-{spec.brokers}-mongod-{spec.mongo_members}"
    return shape + (f"-{hashlib.blake2b(' '.join(given).encode(), digest_size=4).hexdigest()}" if given else "")


def nodes(settings: Settings, *, local: bool) -> int | None:
    """Return how many nodes of the user's own MongoDB hold data and can acknowledge a write; None if it is not known.

    Of servers that are started the cell says how many there are.
    """
    if local:
        return None
    mongo = settings.mongo
    try:
        with MongoClient[dict[str, Any]](
            mongo.uri, serverSelectionTimeoutMS=_ASK_MS, socketTimeoutMS=_ASK_MS
        ) as client:
            answer = client.admin.command("hello")
    except (PyMongoError, ValueError, OSError):  # the run reports it
        return None
    return len(answer.get("hosts", [])) + len(answer.get("passives", [])) or 1

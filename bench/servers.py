"""Kafka and MongoDB for a run: started for it and stopped after it, or the user's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import structs
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bench.errors import DeadServerError
from bench.system import NICENESS
from pipeline.local.process import ChildProcess
from pipeline.local.stack import LocalStack
from pipeline.settings import Settings

# A group forms only once all of its workers are there: no consumer gets a head start. They are let in together
# (bench/system.py), and each that comes within this time of the one before it is waited for.
_REBALANCE_DELAY_MS = 300
_LOOK_S = 0.5
_ASK_MS = 5_000
_LONGEST_LINE = 240  # mongod's are of JSON

_Given = TypeVar("_Given")


@dataclass(frozen=True)
class Servers:
    """Kafka and MongoDB as the run uses them; ``pids`` by role and ``versions``, empty where they are not ours.

    ``kafka_counters_url``: where Kafka's own counters are; empty where it is not ours. ``processes``: ours.
    """

    settings: Settings
    pids: Mapping[str, list[int]]
    versions: Mapping[str, str]
    kafka_counters_url: str = ""
    processes: tuple[ChildProcess, ...] = ()

    def expect_running(self) -> None:
        """Check that the servers that were started for the run still run.

        Raises:
            DeadServerError: one of them has ended; the message shows its last lines.
        """
        for each in self.processes:
            if not each.running():
                ended = f"{each.name}, which was started for this run, ended with exit code {each.returncode}"
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
    settings: Settings, logs_dir: Path, on_progress: Callable[[str], None], *, local: bool
) -> Iterator[Servers]:
    """Give the servers that ``settings`` name or, if ``local``, some started on this machine for the block.

    Raises:
        MissingPartError, ProcessFailedError: they cannot be had, or did not come up.
    """
    if not local:
        yield Servers(settings, {}, {})
        return
    stack = LocalStack(
        settings.local,
        logs_dir=logs_dir,
        group_initial_rebalance_delay_ms=_REBALANCE_DELAY_MS,
        niceness=NICENESS,
        kafka_counters=True,
    )
    try:
        stack.start(on_progress)
        started = structs.replace(
            settings,
            kafka=structs.replace(settings.kafka, bootstrap_servers=stack.kafka_bootstrap_servers),
            mongo=structs.replace(settings.mongo, uri=stack.mongo_uri),
        )
        pids = {"kafka": [stack.kafka.pid], "mongodb": [stack.mongod.pid]}
        versions = msgspec.to_builtins(stack.versions)
        yield Servers(started, pids, versions, stack.kafka_counters_url, (stack.kafka, stack.mongod))
    finally:
        stack.stop()


def nodes(settings: Settings, *, local: bool) -> int | None:
    """Return how many MongoDB nodes hold data and can acknowledge a write; None if it is not known."""
    if local:
        return 1
    mongo = settings.mongo
    try:
        with MongoClient[dict[str, Any]](
            mongo.uri, serverSelectionTimeoutMS=_ASK_MS, socketTimeoutMS=_ASK_MS
        ) as client:
            answer = client.admin.command("hello")
    except (PyMongoError, ValueError, OSError):  # the run reports it
        return None
    return len(answer.get("hosts", [])) + len(answer.get("passives", [])) or 1

"""Plants faults: into the processes of one role, by way of their environment, and into the system, by signals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pymongo import MongoClient

from bench.kinds.kind import Moment
from bench.selftest.stalls import DocumentCounts, Stall
from pipeline.settings import Mongo

PATHS = (Path(__file__).parent / "faults", Path(__file__).resolve().parents[2])
TRIGGER = "now"
_VARIABLE = "TIDEMARK_FAULT"
_POLL_S = 0.01
_NS = 1_000_000_000


@dataclass
class Context:
    """The repeat that a fault is planted into, and what was noted of it there."""

    folder: Path
    mongo: Mongo
    end_s: float  # of the schedule, from the epoch
    stall: Stall | None = None
    counted: DocumentCounts | None = None


Act = Callable[[Context, Moment], Awaitable[None]]


@contextlib.contextmanager
def planted(fault: Mapping[str, Any] | None, folder: Path) -> Iterator[None]:
    """Let the processes that are started in the block have ``fault`` (see ``faults/sitecustomize.py``).

    A fault with an ``after`` waits for the file of that name in ``folder``.
    """
    if fault is None:
        yield
        return
    given = dict(fault)
    if "after" in given:
        given["after"] = str(folder.resolve() / given["after"])
    changes = {_VARIABLE: json.dumps(given), "PYTHONPATH": os.pathsep.join(_paths())}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _paths() -> list[str]:
    return [*map(str, PATHS), *(path for path in [os.environ.get("PYTHONPATH", "")] if path)]


def trigger(at_s: float) -> Act:
    """Make the file that a fault waits for, ``at_s`` after the epoch."""

    async def act(context: Context, moment: Moment) -> None:
        await _until(moment, at_s)
        (context.folder / TRIGGER).touch()

    return act


def stall(role: str, at_s: float, length_s: float) -> Act:
    """Stop all processes of ``role`` (SIGSTOP) and let them go on after ``length_s``; count documents meanwhile."""

    async def act(context: Context, moment: Moment) -> None:
        count = asyncio.create_task(asyncio.to_thread(_count, context.mongo, moment.epoch_ns, context.end_s + 1.0))
        await _until(moment, at_s)
        pids = _with_children(moment.pids[role])
        start_ns = time.monotonic_ns()
        _signal(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(length_s)
        finally:
            _signal(pids, signal.SIGCONT)
            context.stall = Stall((start_ns - moment.epoch_ns) / _NS, (time.monotonic_ns() - moment.epoch_ns) / _NS)
        context.counted = await count

    return act


def kill_worker(at_s: float, wait_s: float) -> Act:
    """Kill the first worker (SIGKILL) right after it wrote to its deliveries log, before it can have committed that."""

    async def act(context: Context, moment: Moment) -> None:
        await _until(moment, at_s)
        log, pid = context.folder / "worker-1.log", moment.pids["worker"][0]
        await asyncio.to_thread(_kill_once_grown, log, pid, wait_s)

    return act


def set_wall_clock(at_s: float, ahead_ms: float) -> Act:
    """Let this process, the harness, see its wall clock ``ahead_ms`` ahead from ``at_s`` until the load is over."""

    async def act(context: Context, moment: Moment) -> None:
        await _until(moment, at_s)
        real = time.time_ns
        time.time_ns = lambda: real() + round(ahead_ms * 1e6)
        try:
            await _until(moment, context.end_s)
        finally:
            time.time_ns = real

    return act


def _kill_once_grown(log: Path, pid: int, wait_s: float) -> None:
    size = log.stat().st_size
    deadline = time.monotonic() + wait_s
    while log.stat().st_size == size and time.monotonic() < deadline:
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)


async def _until(moment: Moment, at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - (time.monotonic_ns() - moment.epoch_ns) / _NS))


def _with_children(pids: list[int]) -> list[int]:
    return [*pids, *(child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True))]


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _count(mongo: Mongo, epoch_ns: int, end_s: float) -> DocumentCounts:
    """Ask MongoDB how many documents it has, again and again until ``end_s`` after the epoch.

    An answer that was long in coming was true when it came: a stopped server counts when it goes on.
    """
    at_s: list[float] = []
    documents: list[int] = []
    with MongoClient[dict[str, Any]](mongo.uri, socketTimeoutMS=mongo.timeout_ms) as client:
        collection = client[mongo.database][mongo.collection]
        while not at_s or at_s[-1] < end_s:
            found = collection.estimated_document_count()
            at_s.append((time.monotonic_ns() - epoch_ns) / _NS)
            documents.append(found)
            time.sleep(_POLL_S)
    return DocumentCounts(np.array(at_s), np.array(documents, dtype=np.int64))

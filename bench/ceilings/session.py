"""A session: every bare loop, and part of ours, once in each round, in an order of its own.

Each repeat of a bare loop is a process of its own; a part of ours is the processes that a cell has of it. A repeat
beside which others used too much of the machine is void, and replaced at most twice, as in a cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiokafka.errors import KafkaError
from msgspec import structs
from pymongo.errors import PyMongoError

from bench import rounds
from bench.attempts import MAX_ATTEMPTS
from bench.ceilings import components, handler, loops, material
from bench.ceilings.loops import Loop
from bench.ceilings.meter import LoopMeasurement
from bench.ceilings.task import Task
from bench.cells.bounds import Bounds
from bench.errors import RepeatError
from bench.judge import validity
from bench.kinds.drain import EVEN_MIX, DrainCell
from bench.load import stubserver
from bench.load.preload import preload
from bench.targets import marks
from bench.targets.cellsettings import settings_for
from bench.targets.processes import NICENESS
from bench.targets.servers import Servers
from bundle.ceilings import LoopRepeat
from pipeline import provision
from pipeline.commands.supervision import child_environment
from pipeline.errors import TidemarkError
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings
from traffic.spec import LoadSpec, Traffic

PARTITIONS = 4
"""Of each of the three topics, in every loop that has some."""
_START_S, _POLL_S = 60.0, 0.05
_CELL = DrainCell(id="ceilings", partitions=PARTITIONS)
_PER_100K = 100_000


@dataclass(frozen=True)
class CeilingsRequest:
    """What is to be measured, with which traffic, and when a repeat is void; ``seed`` decides the order in a round."""

    loops: tuple[Loop, ...]
    rounds: int
    traffic: Traffic
    bounds: Bounds = field(default_factory=Bounds)
    seed: int = 1


def order(asked: CeilingsRequest) -> tuple[tuple[int, Loop], ...]:
    """Return every repeat as (round, loop), in the order that they are measured."""
    planned: list[tuple[int, Loop]] = []
    for number in range(1, asked.rounds + 1):
        chance = rounds.coin(asked.seed, number)
        planned += [(number, loop) for loop in rounds.shuffled(loops.together(asked.loops), chance)]
    return tuple(planned)


async def measure(
    asked: CeilingsRequest, servers: Servers, logs: Path, on_progress: Callable[[str], None], prefix: str
) -> dict[str, list[LoopRepeat]]:
    """Measure every loop in every round; return the repeats by the loop's name, in the order of the rounds.

    Void ones are among them. What the processes print goes to ``logs``. Nothing is left on the servers, where all names
    begin with ``prefix``.

    Raises:
        TidemarkError, KafkaError, PyMongoError: a loop could not be measured.
    """
    logs.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a local folder, made once
    found: dict[str, list[LoopRepeat]] = {loop.name: [] for loop in asked.loops}
    planned = order(asked)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ceilings-", dir=logs))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bench = _Bench(servers, asked.traffic, folder, logs, f"{prefix}ceilings")
        to_read = max((loop.events for loop in asked.loops if loop.kind == loops.CONSUME), default=0)
        if to_read:
            on_progress("filling the topics that are to be read")
            await stack.enter_async_context(bench.filled(to_read))
        for place, (number, loop) in enumerate(planned):
            for _ in range(MAX_ATTEMPTS):
                repeat = _loop_repeat(
                    loop, number, place % len(asked.loops) + 1, await bench.repeat(loop), asked.bounds
                )
                found[loop.name].append(repeat)
                on_progress(f"[{place + 1}/{len(planned)}] {loop.name}, round {number}: {_in_words(repeat)}")
                if repeat.valid:
                    break
    return found


class _Bench:
    """Runs single repeats on the servers that are there, under names of its own."""

    def __init__(self, servers: Servers, traffic: Traffic, folder: Path, logs: Path, name: str) -> None:
        self._servers = servers
        self._traffic = material.bounded(traffic)
        self._even = structs.replace(self._traffic, event_mix=EVEN_MIX)  # as in a drain
        self._folder = folder
        self._logs = logs
        self._name = name
        self._filled: Settings = self._settings("read")
        self._repeats = 0

    @contextlib.asynccontextmanager
    async def filled(self, events: int) -> AsyncIterator[None]:
        """Have topics with so many events to read, for the block."""
        async with _topics(self._filled):
            spec = LoadSpec(traffic=self._even, seed=material.SEED, run=1)
            number = material.fitting(events, self._traffic)
            await preload(self._filled.kafka, spec, number, self._folder / "ledger-0.log")
            yield

    async def repeat(self, loop: Loop) -> LoopMeasurement:
        """Measure one repeat of ``loop``, from clean topics or an empty collection."""
        self._repeats += 1
        fresh = self._settings(str(self._repeats))
        if loop.kind == loops.INSERT:
            async with _collection(fresh):
                return await self._run(loop, fresh, self._even)
        if loop.kind == loops.CONSUME:
            return await self._run(loop, self._filled, self._even)
        if loop.kind == loops.PRODUCE:
            async with _topics(fresh):
                return await self._run(loop, fresh, self._traffic)
        if loop.kind in (loops.WORKER, loops.API, loops.OFFERING):
            return await self._part(loop, fresh)
        answering = handler.null_handler(self._logs)
        try:
            answering.start()
            url = await asyncio.to_thread(stubserver.url_of, answering)
            return await self._run(loop, fresh, self._traffic, url, {"handler": [answering.pid]})
        finally:
            answering.stop()

    async def _part(self, loop: Loop, fresh: Settings) -> LoopMeasurement:
        """Measure a part of ours, as it is in a cell."""
        folder = self._folder / f"{loop.name}-{self._repeats}"
        folder.mkdir()
        if loop.kind == loops.WORKER:
            return await components.drain(loop, fresh, self._even, folder, self._servers.pids, 3 * loops.LONGEST_S)
        if loop.kind == loops.OFFERING:
            return await components.offering(loop, self._traffic, folder)
        async with components.api(fresh, folder) as system:
            return await self._run(loop, fresh, self._traffic, system.url, {"api": system.processes()["api"]})

    def _settings(self, name: str) -> Settings:
        return settings_for(self._servers.settings, _CELL, f"{self._name}-{name}")

    async def _run(
        self,
        loop: Loop,
        settings: Settings,
        traffic: Traffic,
        url: str = "",
        beside: Mapping[str, list[int]] | None = None,
    ) -> LoopMeasurement:
        """Have the loop's own process do it."""
        result = self._folder / f"result-{self._repeats}.json"
        task = Task(
            loop=loop,
            traffic=traffic,
            pids={**self._servers.pids, "harness": [os.getpid()], **(beside or {})},
            longest_s=loops.LONGEST_S,
            result=str(result),
            url=url,
        )
        path = self._folder / f"task-{self._repeats}.json"
        path.write_bytes(msgspec.json.encode(task))
        process = ChildProcess(
            loop.name,
            [sys.executable, "-m", "bench.ceilings.child", path],
            env=child_environment(settings),
            log_path=self._logs / f"{loop.name}.log",
            # What loads a server stands in the generator's place, all others in a worker's or the API's.
            niceness=0 if loop.kind in (loops.HANDLER, loops.API) else NICENESS,
        )
        try:
            process.start()
            await _ended(process, time.monotonic() + _START_S + 3 * loops.LONGEST_S)
            return msgspec.json.decode(result.read_bytes(), type=LoopMeasurement)
        finally:
            process.stop()


async def _ended(process: ChildProcess, deadline_s: float) -> None:
    """Wait until it has ended well.

    Raises:
        RepeatError: it ended otherwise, or not in time.
    """
    while process.running():
        if time.monotonic() > deadline_s:
            raise RepeatError(f"the bare loop {process.name} did not end in time; {process.last_words()}")
        await asyncio.sleep(_POLL_S)
    if process.returncode != 0:
        code = process.returncode
        raise RepeatError(f"the bare loop {process.name} ended with exit code {code}; {process.last_words()}")


@contextlib.asynccontextmanager
async def _topics(settings: Settings) -> AsyncIterator[None]:
    """Have empty topics for the block."""
    try:
        await provision.create_topics(settings.kafka)
        yield
    finally:
        with contextlib.suppress(TidemarkError, KafkaError):  # the servers are away: the block has failed of it
            await provision.delete_topics(settings.kafka)


@contextlib.asynccontextmanager
async def _collection(settings: Settings) -> AsyncIterator[None]:
    """Have an empty collection with the run's indexes for the block."""
    mongo = settings.mongo
    try:
        await provision.create_indexes(mongo)
        yield
    finally:
        with contextlib.suppress(PyMongoError):  # as above
            await asyncio.to_thread(_drop, settings)


def _drop(settings: Settings) -> None:
    mongo = settings.mongo
    with marks.client_of(mongo) as client:
        client[mongo.database].drop_collection(mongo.collection)


def _loop_repeat(loop: Loop, number: int, place: int, measured: LoopMeasurement, bounds: Bounds) -> LoopRepeat:
    """Return a repeat as the result has it: CPU of the roles that the loop uses, if they are ours."""
    return LoopRepeat(
        round=number,
        place=place,
        events=measured.events,
        took_s=measured.took_s,
        events_per_s=measured.events / measured.took_s,
        cpu_s_per_100k_events={
            role: measured.cpu_s[role] / measured.events * _PER_100K
            for role in loops.ROLES[loop.kind]
            if role in measured.cpu_s
        },
        service_time_ms=measured.service_time_ms,
        schedule_delay_ms=measured.schedule_delay_ms,
        memory_mb=measured.memory_mb,
        disturbance=measured.disturbance,
        valid=validity.left_alone(measured.disturbance, measured.took_s, bounds),
    )


def _in_words(repeat: LoopRepeat) -> str:
    costs = ", ".join(f"{role} {cost:.2f}" for role, cost in repeat.cpu_s_per_100k_events.items())
    words = f"{repeat.events_per_s:,.0f} events/s ({costs})"
    if repeat.valid or repeat.disturbance is None:
        return words
    others = repeat.disturbance.other_programs + repeat.disturbance.stolen
    return f"{words}; void: others used {others:.0%} of the machine"

"""A repeat made ready: its topics and collection are there, and its processes wait to be let begin."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError

from bench.evidence.leftovers import GroupWatch
from bench.load.generator import generator_process
from bench.run.phases import Course
from bench.run.progress import Display
from bench.run.repeatspec import Repeat
from bench.targets import marks
from bench.targets.system import System, settings_for
from bench.witness.witness import witness_process
from pipeline import provision
from pipeline.errors import MissingPartError, ProvisionError
from pipeline.local.process import ChildProcess


@dataclass(frozen=True)
class Ready:
    """What waits for a repeat to begin; :meth:`end` it in any case, and nothing of it is left."""

    repeat: Repeat
    folder: Path
    course: Course
    system: System
    generator: ChildProcess
    witness: ChildProcess
    group: GroupWatch
    held: contextlib.AsyncExitStack

    def pids(self) -> Mapping[str, list[int]]:
        """Give the processes that run, servers included, by role."""
        beside = {each.name: [each.pid] for each in (self.generator, self.witness) if each.pid}
        return {**self.repeat.server_pids, **self.system.pids(), **beside}

    async def end(self) -> None:
        """End the processes and leave nothing on the servers. May be called twice."""
        await self.held.aclose()


async def prepare(repeat: Repeat, folder: Path, course: Course) -> Ready:
    """Make topics and collection, and start processes: workers that do not join yet, a generator that waits.

    Raises:
        TidemarkError, KafkaError, PyMongoError, OSError: it cannot be made ready; nothing of it is left.
    """
    cell = repeat.identity.cell
    system = System(
        settings_for(repeat.settings, cell, repeat.name),
        cell.consumers,
        folder,
        repeat.code,
        dashboards=cell.dashboards,
    )
    generator = generator_process(repeat.load_spec, system.url, cell.generator_processes, folder)
    witness = witness_process(system.settings, system.url, folder)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_drop, system, course)
        with course.phase("topics"):
            await system.provision()
        group = await stack.enter_async_context(GroupWatch(system.settings.kafka, system.settings.worker.group_id))
        stack.callback(system.stop)
        stack.callback(generator.stop)
        stack.callback(witness.stop)
        with course.phase("start"):
            if cell.through_http:
                generator.start()  # first: it takes longest, and waits to be let begin
                witness.start()  # which waits for the load
            await system.start(with_api=cell.through_http)
        return Ready(repeat, folder, course, system, generator, witness, group, stack.pop_all())


class Ahead:
    """At most one repeat that is made ready while the one before it is audited and written down."""

    def __init__(self) -> None:
        """Nothing is made ready yet."""
        self._of: Repeat | None = None
        self._task: asyncio.Task[Ready] | None = None

    def begin(self, repeat: Repeat, folder: Path, display: Display) -> None:
        """Begin to make ``repeat`` ready, beside whatever else goes on; nothing of it is shown yet."""
        self._of = repeat
        self._task = asyncio.create_task(prepare(repeat, folder, Course(display, shown=False)))

    async def take(self, repeat: Repeat) -> Ready | None:
        """Give ``repeat`` made ready; None if it was not, and then what was made ready instead is gone.

        Raises:
            TidemarkError, KafkaError, PyMongoError, OSError: it could not be made ready.
        """
        if self._task is None or self._of is None or not _same(self._of, repeat):
            await self.drop()
            return None
        began_s = time.monotonic()
        try:
            ready = await asyncio.shield(self._task)
        except asyncio.CancelledError:
            await self.drop()
            raise
        self._task = None
        ready.course.take_over(time.monotonic() - began_s)
        return ready

    async def drop(self) -> None:
        """Let go of what was made ready, or is about to be."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            await task.result().end()


def _same(one: Repeat, other: Repeat) -> bool:
    """Whether both are the same attempt at the same load or backlog; each attempt of a run has its own name."""
    loads = [(each.identity.offered_load_events_per_s, each.identity.cell.events) for each in (one, other)]
    return one.name == other.name and loads[0] == loads[1]


async def _drop(system: System, course: Course) -> None:
    """Remove everything from the servers. What cannot be removed now, the end of the run or ``bench clean`` removes."""
    kafka = system.settings.kafka
    passing = (MissingPartError, ProvisionError, KafkaError, PyMongoError, TimeoutError, OSError)
    with course.phase("drop"):
        with contextlib.suppress(*passing):
            await asyncio.to_thread(system.drop_collection)
        with contextlib.suppress(*passing):
            await provision.delete_topics(kafka)
        with contextlib.suppress(*passing):
            await marks.delete_group(kafka, system.settings.worker.group_id)
        if system.dashboards:
            with contextlib.suppress(*passing):
                await marks.delete_group(kafka, system.settings.dashboard.group_id)

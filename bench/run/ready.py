"""A repeat made ready: its topics and collection are there, and its processes wait to be let begin."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError

from bench import kinds
from bench.errors import RepeatError
from bench.evidence.leftovers import GroupWatch
from bench.evidence.progress import DocumentWatch, ProgressWatch
from bench.load.generator import generator_process
from bench.run.phases import Phases
from bench.run.progress import Display
from bench.run.repeatspec import RepeatSpec
from bench.targets.cellsettings import settings_for
from bench.targets.target import Setup, System, Target
from bench.witness.witness import witness_process
from pipeline.errors import MissingPartError, ProvisionError
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

_LONGEST_STEP_S = 180.0  # of making topics, of starting: each part of Tidemark's has a shorter bound of its own
_PASSING = (MissingPartError, ProvisionError, KafkaError, PyMongoError, TimeoutError, OSError)


@dataclass(frozen=True)
class Ready:
    """What waits for a repeat to begin; :meth:`end` it in any case, and nothing of it is left."""

    repeat: RepeatSpec
    folder: Path
    phases: Phases
    target: Target
    settings: Settings
    generator: ChildProcess
    witness: ChildProcess
    progress: ProgressWatch
    held: contextlib.AsyncExitStack

    def pids(self) -> Mapping[str, list[int]]:
        """Return the processes that run, servers included, by role."""
        beside = {each.name: [each.pid] for each in (self.generator, self.witness) if each.pid}
        return {**self.repeat.server_pids, **self.target.processes(), **beside}

    async def admit(self) -> None:
        """Let the target's consumers begin to read.

        Raises:
            TidemarkError: they do not, in bounded time.
        """
        await _bounded(self.target.admit(), f"the consumers of {self.repeat.system.name} did not begin to read")

    async def end(self) -> None:
        """End the processes and leave nothing on the servers. May be called twice."""
        await self.held.aclose()


async def prepare(repeat: RepeatSpec, folder: Path, phases: Phases) -> Ready:
    """Make topics and collection, and start processes: workers that do not join yet, a generator that waits.

    Raises:
        TidemarkError, KafkaError, PyMongoError, OSError: it cannot be made ready; nothing of it is left.
    """
    cell, system = repeat.identity.cell, repeat.system
    kind = kinds.named(cell.kind)
    settings = settings_for(repeat.settings, cell, repeat.name)
    (folder / "logs").mkdir(exist_ok=True)
    target = system.build(Setup(settings, folder, cell.consumers, cell.dashboards, repeat.code))
    generator = generator_process(repeat.load_spec, target.url, cell.generator_processes, folder)
    witness = witness_process(settings, target.url, folder)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_remove, target, phases)
        with phases.phase("topics"):
            await _bounded(target.provision(), f"{system.name} was not provisioned")
        progress = await stack.enter_async_context(_progress_of(system, settings))
        stack.callback(target.stop)
        stack.callback(generator.stop)
        stack.callback(witness.stop)
        with phases.phase("start"):
            if kind.through_http:
                generator.start()  # first: it takes longest, and waits to be let begin
                if "stamps" in system.reports:  # which are what it is held against
                    witness.start()  # which waits for the load
            await _bounded(target.start(through_http=kind.through_http), f"{system.name} was not ready")
        _expect_known_roles(system, target)
        return Ready(repeat, folder, phases, target, settings, generator, witness, progress, stack.pop_all())


def _expect_known_roles(system: System, target: Target) -> None:
    """Raise RepeatError if a target has processes of roles that it does not name: nobody would watch them."""
    unknown = sorted(set(target.processes()) - set(target.roles))
    if unknown:
        named = ", ".join(target.roles) or "none"
        raise RepeatError(f"{system.name} has processes of the role {', '.join(unknown)}; the roles it names: {named}")


def _progress_of(system: System, settings: Settings) -> ProgressWatch:
    """Return what watches how far a target has come."""
    if "backlog" in system.reports:
        return GroupWatch(settings.kafka, settings.worker.group_id)
    return DocumentWatch(settings.mongo if "documents" in system.reports else None)


async def _bounded(step: Awaitable[None], failed: str) -> None:
    """Wait for one step of a target, which may be any; ``failed``: what is said if it does not end in time.

    Raises:
        RepeatError: it did not.
    """
    bound = asyncio.timeout(_LONGEST_STEP_S)
    try:
        async with bound:
            await step
    except TimeoutError as error:
        if not bound.expired():  # it is the step's own
            raise
        raise RepeatError(f"{failed} within {_LONGEST_STEP_S:g} s, see logs/") from error


class Ahead:
    """At most one repeat that is made ready while the one before it is audited and written down."""

    def __init__(self) -> None:
        """Nothing is made ready yet."""
        self._of: RepeatSpec | None = None
        self._task: asyncio.Task[Ready] | None = None

    def begin(self, repeat: RepeatSpec, folder: Path, display: Display) -> None:
        """Begin to make ``repeat`` ready, beside whatever else goes on; nothing of it is shown yet."""
        self._of = repeat
        self._task = asyncio.create_task(prepare(repeat, folder, Phases(display, shown=False)))

    async def take(self, repeat: RepeatSpec) -> Ready | None:
        """Return ``repeat`` made ready; None if it was not, and then what was made ready instead is gone.

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
        ready.phases.take_over(time.monotonic() - began_s)
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


def _same(one: RepeatSpec, other: RepeatSpec) -> bool:
    """Whether both are the same attempt at the same load or backlog; each attempt of a run has its own name."""
    loads = [(each.identity.offered_load_events_per_s, each.identity.cell) for each in (one, other)]
    return one.name == other.name and loads[0] == loads[1]


async def _remove(target: Target, phases: Phases) -> None:
    """Remove everything from the servers. What cannot be removed now, the end of the run or ``bench clean`` removes."""
    with phases.phase("drop"), contextlib.suppress(*_PASSING):
        await target.remove()

"""The phases of one repeat, and how far the system has come, for the display and the time series."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from bench.errors import RepeatError
from bench.evidence.evidence import Backlog
from bench.evidence.progress import ProgressWatch
from bench.run.progress import Display
from bench.search import probe
from bench.search.forecast import RunningCounts
from pipeline.local.process import ChildProcess
from traffic.spec import LoadSpec

_LOOK_S = 1.0
_DRAIN_POLL_S = 0.1
_END_POLL_S = 0.05
_GENERATOR_END_S = 45.0


@dataclass
class Phases:
    """What was seen so far. ``epoch_ns``: when the load began (monotonic ns); ``phase_s``: how long each phase took.

    ``shown``: whether the display shows this repeat; not while it still shows the one before.
    """

    display: Display
    epoch_ns: int = 0
    shown: bool = True
    phase_s: dict[str, float] = field(default_factory=dict)
    _at_ns: list[int] = field(default_factory=list)
    _backlog: list[int] = field(default_factory=list)
    _seen: list[RunningCounts] = field(default_factory=list)
    _at_rest: bool = False

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show that the block is at ``name``, and add the time that it took."""
        if self.shown:
            self.display.phase(name)
        start = time.monotonic()
        yield
        self.phase_s[name] = self.phase_s.get(name, 0.0) + time.monotonic() - start

    def take_over(self, waited_s: float) -> None:
        """Show a repeat that was made ready ahead: of that only what was waited for it counts."""
        self.shown = True
        self.phase_s = {"start": waited_s}

    @property
    def backlog(self) -> Backlog:
        """The backlog as it was seen; empty where the system does not report it."""
        return Backlog(np.array(self._at_ns, dtype=np.int64), np.array(self._backlog, dtype=np.int64))

    @property
    def is_drained(self) -> bool:
        """Whether nothing was on its way any more when the system was looked at last."""
        return self._at_rest

    @property
    def elapsed_s(self) -> float:
        """Seconds since the epoch."""
        return max(0.0, (time.monotonic_ns() - self.epoch_ns) / 1e9)

    async def look(self, progress: ProgressWatch, load: LoadSpec | None = None) -> None:
        """Note the system's position and show it; of a ``load``, the events due by now count, of a drain all."""
        position = await progress.position()
        self._at_rest = position.at_rest
        if position.backlog is not None:
            self._at_ns.append(time.monotonic_ns())
            self._backlog.append(position.backlog)
        accepted = position.written
        self._seen.append(RunningCounts(self.elapsed_s, position.written, position.committed))
        due = round(load.offered_load_events_per_s * min(self.elapsed_s, load.duration_s)) if load else accepted
        # Arrivals are uneven and the witness sends too: accepted events were offered, even beyond the mean rate.
        self.display.live(max(due, accepted), accepted, position.committed, position.backlog)

    async def follow_load(
        self,
        generator: ChildProcess,
        progress: ProgressWatch,
        spec: LoadSpec,
        until: probe.ProbeWatch | None,
        sample: Callable[[], None],
    ) -> None:
        """Wait until the generator has offered the load and has its answers; ``until`` may have it stop earlier.

        ``sample`` is called shortly before the end: what the generator used since the last sample goes with it.

        Raises:
            RepeatError: the generator does not end.
        """
        deadline = time.monotonic() + spec.duration_s + _GENERATOR_END_S
        while generator.running():
            if time.monotonic() > deadline:
                generator.kill()
                raise RepeatError(f"the generator did not end; {generator.last_words()}")
            await self.look(progress, spec)
            if until is not None and until.is_over(self._seen):
                sample()
                generator.send_signal(signal.SIGTERM)  # what is due by now still goes out, and its answer is awaited
                until = None
            left_s = spec.duration_s - self.elapsed_s
            await _until_ended(generator, min(_LOOK_S, left_s) if left_s > 0 else _LOOK_S)
            if 0 < left_s <= _LOOK_S:
                sample()

    async def follow_drain(self, progress: ProgressWatch, *, deadline_s: float, working: Callable[[], bool]) -> None:
        """Wait until nothing is on its way, nobody is ``working``, or it is ``deadline_s`` (monotonic)."""
        await self.look(progress)
        while not self.is_drained and time.monotonic() < deadline_s and working():
            await asyncio.sleep(_DRAIN_POLL_S)
            await self.look(progress)


async def _until_ended(process: ChildProcess, most_s: float) -> None:
    """Wait until ``process`` has ended, ``most_s`` at most."""
    deadline = time.monotonic() + most_s
    while process.running() and time.monotonic() < deadline:  # noqa: ASYNC110 - a process sets no event
        await asyncio.sleep(_END_POLL_S)

"""What recording costs: two systems side by side, one recorded and one not, pair after pair.

    python -m bench.experiments.recording

Not recorded: the generator keeps no ledger, the worker no deliveries log, and no process writes the lag of its event
loop down. Both systems get the same events at the same time, on the same servers, so that whatever else the machine
does meets both alike: of two repeats of the very same work, one after the other, the CPU time differs by more than
recording could cost. What is compared is the CPU time of all roles per 100k events, from the moment that the work may
begin until all of it is stored. Kafka and MongoDB serve both systems, and what they use is counted by the event for
both alike: recording asks nothing of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from bench import kinds, rounds
from bench.cells.cellspec import CellSpec
from bench.errors import RepeatError
from bench.evidence.leftovers import GroupWatch
from bench.kinds.drain import DrainCell
from bench.load.generator import GATE, generator_process
from bench.load.preload import preload
from bench.observe.processes import Followed, total
from bench.run import session
from bench.targets import servers
from bench.targets.cellsettings import settings_for
from bench.targets.servers import Servers
from bench.targets.target import Setup
from bench.targets.tidemark import Tidemark
from bundle.errors import BundleError
from pipeline import settings
from pipeline.errors import TidemarkError
from traffic import ledger
from traffic.spec import LoadSpec

MOST_RATIO = 1.03
"""What recording may cost (docs/method.md)."""
EXIT_MET, EXIT_NOT_MET, EXIT_INTERRUPTED = 0, 1, 130
_SEED = 1
_SIDES = (False, True)  # recorded or not
_LOOK_S = 0.1
_AT_REST_S, _AT_REST_CPU_S, _START_S, _END_S = 0.5, 0.02, 30.0, 90.0
_OWN, _SHARED = ("generator", "api", "worker"), ("kafka", "mongodb")

# Of each of the two systems. A third of what two cores hold together: neither falls behind.
DRAIN = DrainCell(id="drain", partitions=4, events=150_000)
STEADY = CellSpec(id="steady", kind="steady", partitions=4, offered_load=4_000.0, duration_s=10.0)


@dataclass(frozen=True)
class Cost:
    """CPU-s per 100k events by role, of one system."""

    by_role: Mapping[str, float]

    @property
    def whole(self) -> float:
        """All roles together."""
        return sum(self.by_role.values())


Pair = tuple[Cost, Cost]
"""Not recorded, and recorded."""


class RecordingCost(NamedTuple):
    """The ratio recorded / not recorded over all pairs: geometric mean, and its one-sided 95% upper bound."""

    ratio: float
    bound: float

    @property
    def is_met(self) -> bool:
        """Whether recording is shown to cost no more than it may."""
        return self.bound <= MOST_RATIO


def answer(pairs: Sequence[Pair]) -> RecordingCost:
    """Return what ``pairs`` show; without two that both used some CPU time, it is nothing."""
    found = rounds.ratio([recorded.whole / bare.whole for bare, recorded in pairs])
    return RecordingCost(found.mean, found.high or math.inf) if found else RecordingCost(math.nan, math.inf)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="./tidemark shell -c 'python -m bench.experiments.recording'",
        description="What recording costs: two systems side by side, one recorded and one not, pair after pair.",
        epilog=f"exit codes: 0 at most {MOST_RATIO - 1:.0%} is shown, 1 it is not, 2 parts missing, 130 interrupted",
    )
    parser.add_argument(
        "--pairs",
        type=int,
        default=rounds.FEWEST_PAIRS,
        metavar="N",
        help=f"of each kind, {rounds.FEWEST_PAIRS} or more",
    )
    chosen = parser.parse_args(arguments)
    if chosen.pairs < rounds.FEWEST_PAIRS:
        parser.error(f"--pairs {chosen.pairs}: fewer than {rounds.FEWEST_PAIRS} show nothing")
    try:
        with session.terminate_like_interrupt():
            return _run(chosen.pairs, Console(highlight=False, soft_wrap=True))
    except (TidemarkError, BundleError) as error:
        sys.stderr.write(f"recording: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("recording: interrupted\n")
        return EXIT_INTERRUPTED


def _run(number: int, console: Console) -> int:
    answers, chance = [], rounds.coin(_SEED)
    with (
        tempfile.TemporaryDirectory(prefix="tidemark-recording-") as folder,
        servers.at_hand(settings.load(os.environ), Path(folder) / "logs", console.print, local=True) as started,
    ):
        for cell in (DRAIN, STEADY):
            pairs: list[Pair] = []
            for place in range(1, number + 1):
                own = Path(folder) / f"{cell.id}-{place}"
                pairs.append(session.run(_pair(cell, own, started, rounds.shuffled([_SIDES], chance))))
                bare, recorded = pairs[-1]
                console.print(
                    f"{cell.id} {place}: {bare.whole:.3f} CPU-s per 100k events, recorded {recorded.whole:.3f}, "
                    f"ratio {recorded.whole / bare.whole:.4f}"
                )
            answers.append(answer(pairs))
            console.print(_by_role(cell.id, pairs))
            console.print(
                f"{cell.id}: ratio {answers[-1].ratio:.4f}, one-sided 95% bound {answers[-1].bound:.4f} over "
                f"{number} pairs: at most {MOST_RATIO - 1:.0%} is {'' if answers[-1].is_met else 'NOT '}shown\n"
            )
    return EXIT_MET if all(each.is_met for each in answers) else EXIT_NOT_MET


def _by_role(name: str, pairs: Sequence[Pair]) -> Table:
    table = Table("role", "not recorded", "recorded", title=f"{name}: mean CPU-s per 100k events", box=None)
    for role in (*_OWN, *_SHARED):
        bare, recorded = (statistics.fmean(cost.by_role[role] for cost in side) for side in zip(*pairs, strict=True))
        table.add_row(role, f"{bare:.3f}", f"{recorded:.3f}")
    return table


class _Side:
    """One of the two systems: its processes, and what they have used."""

    def __init__(self, cell: CellSpec, folder: Path, started: Servers, *, run: int, recorded: bool) -> None:
        folder.mkdir(parents=True)
        name = f"recording-{os.getpid()}-{folder.parent.name}-{folder.name}"
        load = cell.offered_load if isinstance(cell.offered_load, float) else 1.0
        self.cell, self.kind = cell, kinds.named(cell.kind)
        self.folder = folder
        own = settings_for(started.settings, cell, name)
        self.system = Tidemark(Setup(own, folder, cell.consumers, recorded=recorded))
        self.spec = LoadSpec(offered_load_events_per_s=load, duration_s=cell.duration_s, seed=_SEED, run=run)
        self.generator = generator_process(self.spec, self.system.url, 1, folder, recorded=recorded)
        self._followed = Followed(_OWN)
        self._before_s: Mapping[str, float] = {}

    async def prepare(self, stack: contextlib.AsyncExitStack) -> None:
        """Start everything, up to where the work may begin; ``stack`` takes what has to be undone."""
        kafka = self.system.settings.kafka
        stack.push_async_callback(self.system.remove)
        await self.system.provision()
        self._group = await stack.enter_async_context(GroupWatch(kafka, self.system.settings.worker.group_id))
        stack.callback(self.system.stop)
        stack.callback(self.generator.stop)
        if self.kind.through_http:
            self.generator.start()
        await self.system.start(through_http=self.kind.through_http)
        if self.kind.through_http:
            await self._at_rest()
        else:
            await preload(kafka, self.spec, self.kind.preloaded_events(self.cell), ledger.path_of(self.folder, 0))

    def begin(self) -> None:
        """Let the work begin."""
        self.look()
        self._before_s = self._used_s()
        self.system.open_gate()
        (self.folder / GATE).touch()

    def look(self) -> None:
        """See what its processes have used: of one that ends, what it used since the last look is gone."""
        running = [self.generator.pid] if self.generator.running() else []
        self._followed.look({**self.system.processes(), "generator": running}, {})

    async def stored(self) -> int | None:
        """Return how many events there were, None while some are still to be offered or stored."""
        if self.generator.running():
            return None
        position = await self._group.position()
        return position.written if position.written and not position.backlog else None

    def spent_s(self) -> dict[str, float]:
        """Return the CPU time used since the beginning, by role."""
        return {role: used_s - self._before_s[role] for role, used_s in self._used_s().items()}

    def _used_s(self) -> dict[str, float]:
        return {role: total(usages.values()).cpu_s for role, usages in self._followed.usage().items()}

    async def _at_rest(self) -> None:
        """Wait until the generator has made its events ready and waits for the load to begin."""
        process, deadline, before_s = psutil.Process(self.generator.pid), time.monotonic() + _START_S, -math.inf
        while True:
            times = process.cpu_times()
            if times.user + times.system - before_s < _AT_REST_CPU_S:
                return
            if time.monotonic() > deadline:
                words = self.generator.last_words()
                raise RepeatError(f"the generator did not come to rest within {_START_S:g} s; {words}")
            before_s = times.user + times.system
            await asyncio.sleep(_AT_REST_S)


async def _pair(cell: CellSpec, folder: Path, started: Servers, order: Sequence[bool]) -> Pair:
    """Let two systems work at the same time; ``order``: whether the recorded one begins, by a moment."""
    by_recorded = {
        recorded: _Side(
            cell, folder / ("recorded" if recorded else "bare"), started, run=int(recorded), recorded=recorded
        )
        for recorded in order
    }
    sides = list(by_recorded.values())
    shared = Followed(_SHARED)
    async with contextlib.AsyncExitStack() as stack:
        for side in sides:
            await side.prepare(stack)
        shared.look(started.pids, {})
        before_s = {role: total(usages.values()).cpu_s for role, usages in shared.usage().items()}
        for side in sides:
            side.begin()
        events = await _all_stored(sides)
        shared.look(started.pids, {})
    served = {
        role: (total(usages.values()).cpu_s - before_s[role]) / sum(events) for role, usages in shared.usage().items()
    }
    costs = {
        recorded: Cost({role: cpu_s * 100_000 for role, cpu_s in {**_per_event(side, number), **served}.items()})
        for (recorded, side), number in zip(by_recorded.items(), events, strict=True)
    }
    return costs[False], costs[True]


def _per_event(side: _Side, events: int) -> dict[str, float]:
    return {role: cpu_s / events for role, cpu_s in side.spent_s().items()}


async def _all_stored(sides: Sequence[_Side]) -> list[int]:
    """Wait until everything is stored; return how many events of each side that are."""
    deadline = time.monotonic() + _END_S
    while True:
        for side in sides:
            side.look()
        events = [await side.stored() for side in sides]
        done = [number for number in events if number is not None]
        if len(done) == len(sides):
            return done
        if time.monotonic() > deadline:
            raise RepeatError(f"not everything was stored within {_END_S:g} s")
        await asyncio.sleep(_LOOK_S)


if __name__ == "__main__":
    sys.exit(main())

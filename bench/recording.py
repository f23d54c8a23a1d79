"""What recording costs: the same work recorded and not, in interleaved pairs (``python -m bench.recording``).

Not recorded: the generator keeps no ledger, the workers no deliveries logs, and no process writes the lag of its event
loop down. What is compared is the CPU time of all roles per 100k events, from the moment that the work may begin until
all of it is stored; nothing of the machine's speed is in that, and little of its noise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from scipy import special

from bench import servers
from bench.cellspec import CellSpec
from bench.errors import RepeatError
from bench.generator import GATE, generator_process
from bench.leftovers import GroupWatch
from bench.preload import preload
from bench.processes import Followed, total
from bench.sampling import ROLES
from bench.servers import Servers
from bench.session import terminate_like_interrupt
from bench.system import System, settings_for
from loadtest import _ledger
from loadtest._spec import LoadSpec
from pipeline import provision, settings
from pipeline.errors import TidemarkError
from pipeline.local.process import ChildProcess

MOST_RATIO = 1.03
"""What recording may cost (method.md, rule 14)."""
FEWEST_PAIRS = 10
EXIT_MET, EXIT_NOT_MET, EXIT_CRASH, EXIT_INTERRUPTED = 0, 1, 3, 130
_CONFIDENCE = 0.95
_SEED = 1
_LOOK_S = 0.1
_AT_REST_S, _AT_REST_CPU_S, _START_S, _END_S = 0.5, 0.02, 30.0, 60.0

DRAIN = CellSpec(id="drain", kind="drain", partitions=4, events=200_000)
STEADY = CellSpec(id="steady", kind="steady", partitions=4, offered_load=10_000.0, duration_s=8.0)
"""A little under half of what two cores hold."""


@dataclass(frozen=True)
class Cost:
    """CPU-s per 100k events by role, of one repeat."""

    by_role: Mapping[str, float]

    @property
    def whole(self) -> float:
        """All roles together."""
        return sum(self.by_role.values())


Pair = tuple[Cost, Cost]
"""Not recorded, and recorded."""


@dataclass(frozen=True)
class Answer:
    """The ratio recorded / not recorded over all pairs: geometric mean, and its one-sided 95% upper bound."""

    ratio: float
    bound: float

    @property
    def is_met(self) -> bool:
        """Whether recording is shown to cost no more than it may."""
        return self.bound <= MOST_RATIO


def answer(pairs: Sequence[Pair]) -> Answer:
    """Give what ``pairs`` (two at least) show, by Student's t on the log ratios."""
    logs = [math.log(recorded.whole / bare.whole) for bare, recorded in pairs]
    mean, spread = statistics.fmean(logs), statistics.stdev(logs)
    half = float(special.stdtrit(len(logs) - 1, _CONFIDENCE)) * spread / math.sqrt(len(logs))
    return Answer(math.exp(mean), math.exp(mean + half))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` and give its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.recording",
        description="What recording costs: drains and steady loads, each recorded and not, in interleaved pairs.",
        epilog=f"exit codes: 0 at most {MOST_RATIO - 1:.0%} is shown for both, 1 it is not, 3 a crash, 130 interrupted",
    )
    parser.add_argument(
        "--pairs", type=int, default=FEWEST_PAIRS, metavar="N", help=f"of each kind, at least {FEWEST_PAIRS}"
    )
    chosen = parser.parse_args(arguments)
    if chosen.pairs < FEWEST_PAIRS:
        parser.error(f"--pairs {chosen.pairs}: fewer than {FEWEST_PAIRS} show nothing")
    console = Console(highlight=False)
    try:
        with terminate_like_interrupt():
            return _run(chosen.pairs, console)
    except TidemarkError as error:
        sys.stderr.write(f"recording: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("recording: interrupted\n")
        return EXIT_INTERRUPTED


def _run(number: int, console: Console) -> int:
    base = settings.load(os.environ)
    coin = random.Random(_SEED)  # noqa: S311 - an order, and no secret
    answers = []
    with (
        tempfile.TemporaryDirectory(prefix="tidemark-recording-") as folder,
        servers.at_hand(base, Path(folder) / "logs", console.print, local=True) as started,
    ):
        measure = _Measure(started, Path(folder))
        for cell in (DRAIN, STEADY):
            pairs: list[Pair] = []
            for _ in range(number):
                costs = {recorded: measure.cost(cell, recorded=recorded) for recorded in coin.sample((False, True), 2)}
                pairs.append((costs[False], costs[True]))
                bare, recorded = pairs[-1]
                ratio = recorded.whole / bare.whole
                console.print(
                    f"{cell.id} {len(pairs)}: {bare.whole:.3f} CPU-s per 100k events, recorded {recorded.whole:.3f}, "
                    f"ratio {ratio:.3f}"
                )
            console.print(_by_role(cell.id, pairs))
            answers.append(answer(pairs))
            console.print(
                f"{cell.id}: ratio {answers[-1].ratio:.4f}, one-sided 95% bound {answers[-1].bound:.4f} over "
                f"{len(pairs)} pairs: at most {MOST_RATIO - 1:.0%} is {'' if answers[-1].is_met else 'NOT '}shown\n"
            )
    return EXIT_MET if all(each.is_met for each in answers) else EXIT_NOT_MET


def _by_role(name: str, pairs: Sequence[Pair]) -> Table:
    table = Table("role", "not recorded", "recorded", title=f"{name}: mean CPU-s per 100k events", box=None)
    for role in ROLES:
        bare, recorded = (
            statistics.fmean(each.by_role.get(role, 0.0) for each in side) for side in zip(*pairs, strict=True)
        )
        if bare or recorded:
            table.add_row(role, f"{bare:.3f}", f"{recorded:.3f}")
    return table


class _Measure:
    """Runs repeats on the servers that are there."""

    def __init__(self, started: Servers, folder: Path) -> None:
        self._servers = started
        self._folder = folder
        self._repeats = 0

    def cost(self, cell: CellSpec, *, recorded: bool) -> Cost:
        """Run ``cell`` once."""
        self._repeats += 1
        folder = self._folder / str(self._repeats)
        folder.mkdir()
        return asyncio.run(self._cost(cell, folder, recorded=recorded))

    async def _cost(self, cell: CellSpec, folder: Path, *, recorded: bool) -> Cost:
        of_cell = settings_for(self._servers.settings, cell, f"recording-{os.getpid()}-{self._repeats}")
        system = System(of_cell, cell.consumers, folder, recorded=recorded)
        load = cell.offered_load if isinstance(cell.offered_load, float) else 1.0
        spec = LoadSpec(offered_load_events_per_s=load, duration_s=cell.duration_s, seed=_SEED, run=self._repeats)
        generator = generator_process(spec, system.url, 1, folder, recorded=recorded)

        def pids() -> Mapping[str, list[int]]:
            return {**self._servers.pids, **system.pids(), "generator": [generator.pid] if generator.running() else []}

        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(provision.delete_topics, of_cell.kafka)
            stack.callback(system.drop_collection)
            await system.provision()
            group = await stack.enter_async_context(GroupWatch(of_cell.kafka, of_cell.worker.group_id))
            stack.callback(system.stop)
            stack.callback(generator.stop)
            if cell.through_http:
                generator.start()
            await system.start(with_api=cell.through_http)
            if cell.through_http:
                await _at_rest(generator)
            else:
                await preload(of_cell.kafka, spec, cell.events, _ledger.path_of(folder, 0))
            followed = Followed(ROLES)
            followed.look(pids(), {})
            before = _cpu_s(followed)
            system.open_gate()
            if cell.through_http:
                (folder / GATE).touch()
            events = await _stored(group, generator, lambda: followed.look(pids(), {}))
            spent = {role: used - before[role] for role, used in _cpu_s(followed).items()}
        return Cost({role: cpu_s / events * 100_000 for role, cpu_s in spent.items()})


def _cpu_s(followed: Followed) -> dict[str, float]:
    return {role: total(usages.values()).cpu_s for role, usages in followed.usage().items()}


async def _at_rest(generator: ChildProcess) -> None:
    """Wait until the generator has made its events ready and waits for the load to begin."""
    process, deadline, before_s = psutil.Process(generator.pid), time.monotonic() + _START_S, -math.inf
    while True:
        times = process.cpu_times()
        if times.user + times.system - before_s < _AT_REST_CPU_S:
            return
        if time.monotonic() > deadline:
            raise RepeatError(f"the generator did not come to rest within {_START_S:g} s; {generator.last_words()}")
        before_s = times.user + times.system
        await asyncio.sleep(_AT_REST_S)


async def _stored(group: GroupWatch, generator: ChildProcess, look: Callable[[], None]) -> int:
    """Wait until all has been offered and is stored; give how many events that are. ``look`` is called all the time."""
    deadline = time.monotonic() + _END_S
    while True:
        look()
        position = None if generator.running() else await group.position()
        if position is not None and position.written and not position.backlog:
            look()
            return position.written
        if time.monotonic() > deadline:
            raise RepeatError(f"not everything was stored within {_END_S:g} s")
        await asyncio.sleep(_LOOK_S)


if __name__ == "__main__":
    sys.exit(main())

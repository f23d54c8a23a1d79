"""One repeat, from clean topics to its files in the bundle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from pymongo.errors import PyMongoError

from bench import deliveries, derive, evidence, offered
from bench.errors import RepeatError
from bench.evidence import Backlog, Evidence
from bench.leftovers import GroupWatch
from bench.matrix import Bounds, Objective
from bench.preload import preload
from bench.progress import Display
from bench.result import Result, Window
from bench.sampling import Sampler
from bench.system import System, settings_for
from loadtest import _ledger, _schedule
from loadtest._spec import LoadSpec, Traffic
from pipeline import provision
from pipeline.errors import CorruptLogError, MissingPartError, ProvisionError
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

_ROOT = Path(__file__).resolve().parent.parent
_WATCH_S = 1.0
_DRAIN_POLL_S = 0.1
_GENERATOR_START_S = 30.0
_GENERATOR_END_S = 45.0
EVEN_MIX = (("page_view", 1.0), ("signup", 1.0), ("add_to_cart", 1.0))


@dataclass(frozen=True)
class Repeat:
    """What is to be run, and by which rules it is judged."""

    identity: derive.Identity
    name: str  # of topics, group and collection: no other repeat's
    settings: Settings  # where the servers are
    server_pids: Mapping[str, list[int]]  # of Kafka and MongoDB where they are ours
    traffic: Traffic
    seed: int
    bounds: Bounds
    objective: Objective


@dataclass
class _Progress:
    """What has been seen so far, for the display and the time series."""

    epoch_ns: int = 0
    backlog_at_ns: list[int] = field(default_factory=list)
    backlog: list[int] = field(default_factory=list)
    phase_s: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str, display: Display) -> Iterator[None]:
        display.phase(name)
        start = time.monotonic()
        yield
        self.phase_s[name] = time.monotonic() - start


async def run(repeat: Repeat, folder: Path, display: Display) -> Result:
    """Run ``repeat`` with its files in ``folder``, and judge it.

    Raises:
        TidemarkError, KafkaError, PyMongoError, OSError: the repeat could not be run to its end.
    """
    cell = repeat.identity.cell
    system = System(settings_for(repeat.settings, cell, repeat.name), cell.consumers, folder)
    spec = load_spec(repeat)
    generator = _generator(repeat, system, spec, folder)
    roles = {**repeat.server_pids}
    sampler = Sampler(lambda: {**roles, **system.pids(), "generator": [generator.pid] if generator.pid else []})
    progress = _Progress()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_drop, system)
        with progress.phase("topics", display):
            await system.provision()
        watch = await stack.enter_async_context(GroupWatch(system.settings.kafka, system.settings.worker.group_id))
        stack.callback(sampler.stop)
        stack.callback(system.stop)
        stack.callback(generator.stop)
        sampler.start()
        if cell.kind == "drain":
            await _load_drain(system, spec, cell.events, folder, progress, display)
        else:
            await _load_steady(system, generator, watch, spec, folder, progress, display)
        with progress.phase("drain", display):
            await _drain(system, watch, repeat, progress, display)
        crashes = system.stop()
        sampler.stop()
        with progress.phase("audit", display):
            collected = await _collect(system, watch, spec, repeat, sampler, progress, folder)
            happened = derive.Happened(
                crashes=tuple(crashes),
                generator_exit_code=generator.returncode if generator.pid else 0,
                drained=progress.backlog[-1] == 0,
                duration_s=progress.phase_s,
            )
            result = derive.result_of(repeat.identity, collected, happened, repeat.bounds, repeat.objective)
            window = result.window or Window(0.0, 0.0)
            evidence.write_tables(
                folder,
                collected,
                round(window.start_s * 1e9),
                round(window.end_s * 1e9),
                with_histograms=cell.kind == "steady",
            )
    return msgspec.structs.replace(result, duration_s=progress.phase_s)


def load_spec(repeat: Repeat) -> LoadSpec:
    """Say what is offered: of a drain all of it at once, evenly over the topics unless the mix is an axis."""
    cell = repeat.identity.cell
    changes: dict[str, object] = {}
    if cell.payload_bytes is not None:
        changes["payload_bytes"] = cell.payload_bytes
    if cell.key_skew is not None:
        changes["key_skew"] = cell.key_skew
    if cell.event_mix is not None:
        changes["event_mix"] = cell.event_mix
    elif cell.kind == "drain":
        changes["event_mix"] = EVEN_MIX
    return LoadSpec(
        scenario="mixed",
        offered_load_events_per_s=repeat.identity.offered_load_events_per_s or 1.0,
        arrivals="poisson",
        profile="constant",
        duration_s=cell.warmup_s + cell.duration_s if cell.kind == "steady" else 0.0,
        seed=repeat.seed,
        run=repeat.identity.run_number,
        traffic=msgspec.structs.replace(repeat.traffic, **changes),
    )


async def _load_drain(
    system: System, spec: LoadSpec, events: int, folder: Path, progress: _Progress, display: Display
) -> None:
    """Fill the topics, then start the workers on them."""
    with progress.phase("preload", display):
        path = _ledger.path_of(folder, 0)
        await preload(system.settings.kafka, spec, events, path)
        progress.epoch_ns = _ledger.read(path).head.epoch_monotonic_ns
    with progress.phase("start", display):
        await system.start_workers()


async def _load_steady(
    system: System,
    generator: ChildProcess,
    watch: GroupWatch,
    spec: LoadSpec,
    folder: Path,
    progress: _Progress,
    display: Display,
) -> None:
    """Start API and workers, then offer the load and wait until the generator has its answers."""
    with progress.phase("start", display):
        await asyncio.gather(system.start_api(), system.start_workers())
    with progress.phase("load", display):
        generator.start()
        progress.epoch_ns = await _epoch(generator, folder)
        deadline = time.monotonic() + spec.duration_s + _GENERATOR_END_S
        while generator.running():
            if time.monotonic() > deadline:
                generator.kill()
                raise RepeatError(f"the generator did not end by itself; {generator.last_words()}")
            offered = spec.offered_load_events_per_s * min(_elapsed_s(progress), spec.duration_s)
            await _watch(watch, progress, display, round(offered))
            await asyncio.sleep(_WATCH_S)


async def _epoch(generator: ChildProcess, folder: Path) -> int:
    """Wait for the generator's ledger and give the epoch that it fixed (monotonic ns)."""
    deadline = time.monotonic() + _GENERATOR_START_S
    while time.monotonic() < deadline and generator.running():
        for path in list(folder.glob("ledger-*.log")):  # noqa: ASYNC240 - a look into a small local folder
            with contextlib.suppress(CorruptLogError):  # the head is not written yet
                return _ledger.read(path).head.epoch_monotonic_ns
        await asyncio.sleep(_DRAIN_POLL_S)
    raise RepeatError(f"the generator wrote no ledger; {generator.last_words()}")


async def _drain(system: System, watch: GroupWatch, repeat: Repeat, progress: _Progress, display: Display) -> None:
    """Wait until the group has committed everything, or the drain time-out has passed."""
    deadline = time.monotonic() + repeat.bounds.drain_timeout_s
    while (await _watch(watch, progress, display)) > 0 and time.monotonic() < deadline:
        if not any(worker.running() for worker in system.workers):
            return
        await asyncio.sleep(_DRAIN_POLL_S)


async def _watch(watch: GroupWatch, progress: _Progress, display: Display, offered: int | None = None) -> int:
    """Note the backlog, show it, and give it. ``offered`` None: as many as were accepted."""
    position = await watch.position()
    progress.backlog_at_ns.append(time.monotonic_ns())
    progress.backlog.append(position.backlog)
    accepted = position.written
    display.live(accepted if offered is None else offered, accepted, position.committed, position.backlog)
    return position.backlog


def _elapsed_s(progress: _Progress) -> float:
    return max(0.0, (time.monotonic_ns() - progress.epoch_ns) / 1e9)


async def _collect(
    system: System,
    watch: GroupWatch,
    spec: LoadSpec,
    repeat: Repeat,
    sampler: Sampler,
    progress: _Progress,
    folder: Path,
) -> Evidence:
    """Read all that the repeat left behind."""
    of_offered = offered.load(folder)
    scheduled = (
        repeat.identity.cell.events
        if repeat.identity.cell.kind == "drain"
        else sum(_schedule.offered(spec, index, len(of_offered.streams)) for index in of_offered.streams)
    )
    return Evidence(
        offered=of_offered,
        scheduled=scheduled,
        deliveries=deliveries.load(system.deliveries_logs, system.assignments),
        documents=evidence.read_documents(system.settings.mongo, of_offered, spec, repeat.bounds.compare_share),
        leftovers=await watch.leftovers(),
        clock=sampler.clock(),
        samples=tuple(sampler.samples),
        backlog=Backlog(np.array(progress.backlog_at_ns, dtype=np.int64), np.array(progress.backlog, dtype=np.int64)),
    )


async def _drop(system: System) -> None:
    """Leave nothing on the servers; that they are away then is no news, the repeat itself has failed of it."""
    with contextlib.suppress(MissingPartError, ProvisionError, PyMongoError):
        system.drop_collection()
        await provision.delete_topics(system.settings.kafka)


def _generator(repeat: Repeat, system: System, spec: LoadSpec, folder: Path) -> ChildProcess:
    """Give Locust on our scenarios, headless, as a process that ends by itself."""
    traffic = folder / "logs" / "traffic.json"
    traffic.write_bytes(msgspec.json.encode(spec.traffic))
    options = {
        "--host": system.url,
        "--scenario": spec.scenario,
        "--offered-load": repr(spec.offered_load_events_per_s),
        "--arrivals": spec.arrivals,
        "--profile": spec.profile,
        "--duration": repr(spec.duration_s),
        "--seed": str(spec.seed),
        "--run-number": str(spec.run),
        "--ledger": str(folder),
        "--traffic": str(traffic),
    }
    if repeat.identity.cell.generator_processes > 1:
        options["--processes"] = str(repeat.identity.cell.generator_processes)
    argv = [sys.executable, "-m", "locust", "-f", "loadtest", "--headless", *(x for o in options.items() for x in o)]
    return ChildProcess("generator", argv, env=dict(os.environ), cwd=_ROOT, log_path=folder / "logs" / "generator.log")

"""One repeat, from clean topics to its files in the bundle."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from pymongo.errors import PyMongoError

from bench import deliveries, derive, detectors, evidence, offered, probe, sightings
from bench.cellspec import CellSpec
from bench.checkout import Checkout
from bench.counters import CounterWatch, Observers
from bench.detectors import Detectors
from bench.errors import RepeatError
from bench.evidence import Backlog, Evidence, Happened, Witnessed
from bench.forecast import Seen
from bench.generator import begin, generator_process
from bench.leftovers import GroupWatch
from bench.matrix import Bounds, Objective
from bench.preload import preload
from bench.progress import Display
from bench.result import Result, Window
from bench.sampling import Sampler
from bench.system import System, settings_for
from bench.witness import LOAD_IS_OVER, witness_process
from loadtest import _ledger, _schedule
from loadtest._spec import Arrivals, LoadSpec, Traffic
from pipeline import provision
from pipeline.errors import MissingPartError, ProvisionError
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

_WATCH_S = 1.0
_DRAIN_POLL_S = 0.1
_END_POLL_S = 0.05
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
    arrivals: Arrivals = "poisson"
    kafka_counters_url: str = ""  # where Kafka tells its own counters; empty: nowhere
    code: Checkout | None = None  # the checkout that API and workers run from, None for this one


@dataclass(frozen=True)
class Moment:
    """The repeat at the moment its load begins: when that is (monotonic ns), and its processes by role."""

    epoch_ns: int
    pids: Mapping[str, list[int]]


OnLoad = Callable[[Moment], Awaitable[None]]


@dataclass(frozen=True)
class Measured:
    """What a repeat left behind, not judged yet."""

    evidence: Evidence
    happened: Happened


@dataclass
class _Progress:
    """What has been seen so far, for the display and the time series."""

    epoch_ns: int = 0
    backlog_at_ns: list[int] = field(default_factory=list)
    backlog: list[int] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    phase_s: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str, display: Display) -> Iterator[None]:
        display.phase(name)
        start = time.monotonic()
        yield
        self.phase_s[name] = self.phase_s.get(name, 0.0) + time.monotonic() - start


async def run(repeat: Repeat, folder: Path, display: Display) -> Result:
    """Run ``repeat`` with its files in ``folder``, and judge it.

    Raises:
        TidemarkError, KafkaError, PyMongoError, OSError: the repeat could not be run to its end.
    """
    began_s = time.monotonic()
    measured = await measure(repeat, folder, display)
    measured_s = time.monotonic()
    result = judge(repeat, measured)
    keep(repeat, measured, result, folder)
    phases_s = dict(measured.happened.duration_s)
    phases_s["audit"] += time.monotonic() - measured_s
    phases_s["overhead"] = _overhead_s(repeat, result, phases_s, time.monotonic() - began_s)
    return msgspec.structs.replace(result, duration_s=phases_s)


def _overhead_s(repeat: Repeat, result: Result, phases_s: Mapping[str, float], whole_s: float) -> float:
    """Give what of a repeat is neither preload, warm-up, measuring, draining nor audit, in seconds."""
    work_s = sum(phases_s.get(each, 0.0) for each in ("preload", "drain", "audit"))
    if repeat.identity.cell.through_http and result.window is not None:
        work_s += result.window.end_s  # the warm-up and what was measured, from the epoch on
    return whole_s - work_s


async def measure(repeat: Repeat, folder: Path, display: Display, on_load: OnLoad | None = None) -> Measured:
    """Run ``repeat`` and give all that it left behind; raw logs and what the processes printed stay in ``folder``.

    ``on_load``: called once when the load begins, it runs beside it (of a drain, beside the emptying).

    Raises:
        TidemarkError, KafkaError, PyMongoError, OSError: the repeat could not be run to its end.
    """
    cell = repeat.identity.cell
    system = System(settings_for(repeat.settings, cell, repeat.name), cell.consumers, folder, repeat.code)
    spec = load_spec(repeat)
    generator = generator_process(spec, system.url, cell.generator_processes, folder)
    witness = witness_process(system.settings, system.url, folder)

    def pids() -> Mapping[str, list[int]]:
        beside = {each.name: [each.pid] for each in (generator, witness) if each.pid}
        return {**repeat.server_pids, **system.pids(), **beside}

    observers = Observers(Sampler(pids), CounterWatch(repeat.kafka_counters_url, repeat.settings.mongo))
    progress = _Progress()
    until = _probe_watch(repeat)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_drop, system, progress, display)
        with progress.phase("topics", display):
            await system.provision()
        watch = await stack.enter_async_context(GroupWatch(system.settings.kafka, system.settings.worker.group_id))
        stack.callback(observers.stop)
        stack.callback(system.stop)
        stack.callback(generator.stop)
        stack.callback(witness.stop)
        observers.start()
        with progress.phase("start", display):
            if cell.through_http:
                generator.start()  # first: it takes longest, and waits to be let begin
                witness.start()  # which waits for the load
            await system.start(with_api=cell.through_http)
        if not cell.through_http:
            await _preload(system, spec, cell.events, folder, progress, display)
        with progress.phase("join", display):
            await system.let_workers_join()
        if cell.through_http:
            with progress.phase("load", display):
                progress.epoch_ns = await begin(generator, folder)
        async with _beside(on_load(Moment(progress.epoch_ns, pids())) if on_load else None):
            if cell.through_http:
                await _load_steady(generator, watch, spec, until, observers, progress, display)
                witness.send_signal(LOAD_IS_OVER)
            with progress.phase("drain", display):
                await _drain(system, watch, repeat, progress, display)
                if witness.pid:
                    witness.stop()  # it waits for its last answers, looks once more, and ends
                    await _drain(system, watch, repeat, progress, display)  # what it had on its way
        with progress.phase("stop", display):
            observers.stop()  # before the workers: what one used since the last sample goes with it
            crashes = system.stop()
        with progress.phase("audit", display):
            collected = await _collect(system, watch, spec, repeat, observers, progress, witness, folder)
    happened = Happened(
        crashes=tuple(crashes),
        generator_exit_code=generator.returncode if generator.pid else 0,
        drained=progress.backlog[-1] == 0,
        duration_s=progress.phase_s,
        lost=until.lost if until else "",
    )
    return Measured(collected, happened)


def judge(repeat: Repeat, measured: Measured, looked_for: Detectors = detectors.ALL) -> Result:
    """Derive from what was left behind what the repeat came to. ``looked_for``: only the self-test leaves any out."""
    return derive.result_of(
        repeat.identity, measured.evidence, measured.happened, repeat.bounds, repeat.objective, looked_for
    )


def keep(repeat: Repeat, measured: Measured, result: Result, folder: Path) -> None:
    """Write the bundle's tables of the repeat into ``folder``, in place of the raw logs."""
    window = result.window or Window(0.0, 0.0)
    evidence.write_tables(
        folder,
        measured.evidence,
        round(window.start_s * 1e9),
        round(window.end_s * 1e9),
        with_histograms=repeat.identity.cell.through_http,
    )


@contextlib.asynccontextmanager
async def _beside(action: Awaitable[None] | None) -> AsyncIterator[None]:
    """Run ``action``, if there is one, beside the block, and wait for it; a block that fails ends it first."""
    if action is None:
        yield
        return
    task = asyncio.ensure_future(action)
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


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
        arrivals=repeat.arrivals,
        profile="constant",
        duration_s=_longest_s(cell),
        seed=repeat.seed,
        run=repeat.identity.run_number,
        traffic=msgspec.structs.replace(repeat.traffic, **changes),
    )


def _longest_s(cell: CellSpec) -> float:
    """Give how long a load lasts, in seconds, if nothing stops it; 0 for a drain."""
    if not cell.through_http:
        return 0.0
    return probe.most_s(cell) if cell.kind == "capacity" else cell.warmup_s + cell.duration_s


def _probe_watch(repeat: Repeat) -> probe.Watch | None:
    """Give what says when a probe has lasted long enough; a steady cell lasts as long as it says."""
    cell = repeat.identity.cell
    if cell.kind != "capacity":
        return None
    load = repeat.identity.offered_load_events_per_s or 0.0
    return probe.Watch(cell, load, repeat.objective.delivery_latency_p99_ms)


async def _preload(
    system: System, spec: LoadSpec, events: int, folder: Path, progress: _Progress, display: Display
) -> None:
    """Fill the topics, with everything started and nobody reading yet."""
    with progress.phase("preload", display):
        path = _ledger.path_of(folder, 0)
        await preload(system.settings.kafka, spec, events, path)
        progress.epoch_ns = _ledger.read(path).head.epoch_monotonic_ns


async def _load_steady(
    generator: ChildProcess,
    watch: GroupWatch,
    spec: LoadSpec,
    until: probe.Watch | None,
    observers: Observers,
    progress: _Progress,
    display: Display,
) -> None:
    """Wait until the generator has offered the load and has its answers; ``until`` may have it stop earlier."""
    with progress.phase("load", display):
        deadline = time.monotonic() + spec.duration_s + _GENERATOR_END_S
        while generator.running():
            if time.monotonic() > deadline:
                generator.kill()
                raise RepeatError(f"the generator did not end by itself; {generator.last_words()}")
            offered = spec.offered_load_events_per_s * min(_elapsed_s(progress), spec.duration_s)
            await _watch(watch, progress, display, round(offered))
            if until is not None and until.is_over(progress.seen):
                observers.sampler.look()
                generator.send_signal(signal.SIGTERM)  # what is due by now still goes out, and its answer is awaited
                until = None
            left_s = spec.duration_s - _elapsed_s(progress)
            await _until_ended(generator, min(_WATCH_S, left_s) if left_s > 0 else _WATCH_S)
            if 0 < left_s <= _WATCH_S:
                observers.sampler.look()


async def _until_ended(process: ChildProcess, most_s: float) -> None:
    """Wait until ``process`` has ended, ``most_s`` at most."""
    deadline = time.monotonic() + most_s
    while process.running() and time.monotonic() < deadline:  # noqa: ASYNC110 - a process sets no event
        await asyncio.sleep(_END_POLL_S)


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
    progress.seen.append(Seen(_elapsed_s(progress), position.written, position.committed))
    display.live(accepted if offered is None else offered, accepted, position.committed, position.backlog)
    return position.backlog


def _elapsed_s(progress: _Progress) -> float:
    return max(0.0, (time.monotonic_ns() - progress.epoch_ns) / 1e9)


async def _collect(
    system: System,
    watch: GroupWatch,
    spec: LoadSpec,
    repeat: Repeat,
    observers: Observers,
    progress: _Progress,
    witness: ChildProcess,
    folder: Path,
) -> Evidence:
    """Read all that the repeat left behind."""
    audited = offered.load(folder)
    of_load = audited.of_load()
    witnessed = Witnessed(audited, sightings.load(folder), witness.returncode) if witness.pid else None
    if witnessed is None:
        scheduled = repeat.identity.cell.events
    else:
        scheduled = sightings.scheduled(spec, audited) + sum(
            _schedule.offered(spec, index, len(of_load.streams), stopped_ns)
            for index, stopped_ns in zip(of_load.streams, of_load.stopped_ns, strict=True)
        )
    found, left = await asyncio.gather(
        asyncio.to_thread(evidence.read_documents, system.settings.mongo, audited, spec, repeat.bounds.compare_share),
        watch.leftovers(),
    )
    return Evidence(
        offered=of_load,
        scheduled=scheduled,
        deliveries=deliveries.load(system.deliveries_logs, system.assignments),
        documents=found,
        leftovers=left,
        clock=observers.sampler.clock(),
        samples=tuple(observers.sampler.samples),
        backlog=Backlog(np.array(progress.backlog_at_ns, dtype=np.int64), np.array(progress.backlog, dtype=np.int64)),
        witness=witnessed,
        counters=observers.counters.counters(folder),
    )


async def _drop(system: System, progress: _Progress, display: Display) -> None:
    """Leave nothing on the servers; that they are away then is no news, the repeat itself has failed of it."""
    with contextlib.suppress(MissingPartError, ProvisionError, PyMongoError), progress.phase("drop", display):
        system.drop_collection()
        await provision.delete_topics(system.settings.kafka)

"""One repeat, from clean topics to its files in the bundle."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import kinds
from bench.evidence import deliveries, documents, evidence, offered, sightings
from bench.evidence.documents import Documents
from bench.evidence.evidence import Evidence, Happened, Witnessed
from bench.evidence.offered import Offered
from bench.evidence.progress import ProgressWatch
from bench.judge import derive, detectors
from bench.judge.detectors import Detectors
from bench.kinds.kind import Action, Moment
from bench.load.generator import begin
from bench.load.preload import preload
from bench.observe.sampling import UsageSampler, roles_with
from bench.observe.servercounters import CounterWatch, Observers
from bench.retries import answered
from bench.run.phases import Phases
from bench.run.progress import Display
from bench.run.ready import Ready, prepare
from bench.run.repeatspec import RepeatSpec
from bench.targets.target import Target
from bench.witness.witness import LOAD_IS_OVER
from bundle.result import Result, Window
from pipeline.local.process import ChildProcess
from pipeline.settings import Kafka
from traffic import ledger, schedule
from traffic.spec import LoadSpec

OnOver = Callable[[], None]


@dataclass(frozen=True)
class CollectedRepeat:
    """What a repeat left behind, not judged yet."""

    evidence: Evidence
    happened: Happened


async def run(
    repeat: RepeatSpec,
    folder: Path,
    display: Display,
    *,
    ready: Ready | None = None,
    on_over: OnOver | None = None,
) -> Result:
    """Run ``repeat`` with its files in ``folder``, and judge it. ``ready``, ``on_over``: see :func:`measure`.

    Raises:
        TidemarkError, KafkaError, PyMongoError, OSError: the repeat could not be run to its end.
    """
    began_s = time.monotonic() - (ready.phases.phase_s["start"] if ready else 0.0)  # what was waited for it counts
    measured = await measure(repeat, folder, display, ready=ready, on_over=on_over)
    measured_s = time.monotonic()
    # In a thread: the next repeat is made ready meanwhile.
    result = await asyncio.to_thread(judge, repeat, measured)
    await asyncio.to_thread(keep, repeat, measured, result, folder)
    phases_s = dict(measured.happened.duration_s)
    phases_s["audit"] += time.monotonic() - measured_s
    phases_s["overhead"] = _overhead_s(repeat, result, phases_s, time.monotonic() - began_s)
    return msgspec.structs.replace(result, duration_s=phases_s)


def _overhead_s(repeat: RepeatSpec, result: Result, phases_s: Mapping[str, float], whole_s: float) -> float:
    """Return what of a repeat is neither preload, warm-up, measuring, draining nor audit, in seconds."""
    work_s = sum(phases_s.get(each, 0.0) for each in ("preload", "drain", "audit"))
    if kinds.named(repeat.identity.cell.kind).through_http and result.window is not None:
        work_s += result.window.end_s  # the warm-up and what was measured, from the epoch on
    return whole_s - work_s


async def measure(
    repeat: RepeatSpec,
    folder: Path,
    display: Display,
    on_load: Action | None = None,
    *,
    ready: Ready | None = None,
    on_over: OnOver | None = None,
) -> CollectedRepeat:
    """Run ``repeat`` and return all that it left behind; raw logs and what the processes printed stay in ``folder``.

    ``on_load``: called once when the load begins, it runs beside it (of a drain, beside the emptying), in place of what
    the kind of the cell does there. ``ready``: the
    repeat, made ready ahead. ``on_over``: called once when nothing is measured any more, before the audit.

    Raises:
        TidemarkError, KafkaError, PyMongoError, OSError: the repeat could not be run to its end.
    """
    cell = repeat.identity.cell
    kind = kinds.named(cell.kind)
    on_load = on_load or kind.beside(cell)
    ready = ready or await prepare(repeat, folder, Phases(display))
    phases, target, progress = ready.phases, ready.target, ready.progress
    generator, witness = ready.generator, ready.witness
    counters = CounterWatch(repeat.kafka_counters_urls, repeat.settings.mongo, repeat.mongo_member_uris)
    observers = Observers(UsageSampler(ready.pids, roles_with(target.roles)), counters)
    until = repeat.probe_watch()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(ready.end)
        stack.callback(observers.stop)
        observers.start()
        if not kind.through_http:
            with phases.phase("preload"):
                events = kind.preloaded_events(cell)
                phases.epoch_ns = await _preload(ready.settings.kafka, repeat.load_spec, events, folder)
        with phases.phase("join"):
            await ready.admit()
        if kind.through_http:
            with phases.phase("load"):
                phases.epoch_ns = await begin(generator, folder)
        async with _beside(on_load(Moment(phases.epoch_ns, ready.pids())) if on_load else None) as beside:
            if kind.through_http:
                with phases.phase("load"):
                    await phases.follow_load(generator, progress, repeat.load_spec, until, observers.sampler.look)
                witness.send_signal(LOAD_IS_OVER)
            with phases.phase("drain"):
                await _drain(target, progress, phases, witness, repeat.bounds.drain_timeout_s)
        with phases.phase("stop"):
            observers.stop()  # before the workers: what one used since the last sample goes with it
            if on_over is not None:
                on_over()
            crashes = await asyncio.to_thread(target.stop)
        with phases.phase("audit"):
            collected = await _collect(ready, observers)
    happened = Happened(
        crashes=tuple(crashes),
        generator_exit_code=generator.returncode if generator.pid else 0,
        drained=phases.is_drained,
        duration_s=phases.phase_s,
        lost=until.lost if until else "",
        beside=beside.result() if beside else None,
    )
    return CollectedRepeat(collected, happened)


def judge(repeat: RepeatSpec, measured: CollectedRepeat, looked_for: Detectors = detectors.ALL) -> Result:
    """Derive the result of the repeat from what was left behind. ``looked_for``: only the self-test leaves any out."""
    return derive.result_of(
        repeat.identity, measured.evidence, measured.happened, repeat.bounds, repeat.objective, looked_for
    )


def keep(repeat: RepeatSpec, measured: CollectedRepeat, result: Result, folder: Path) -> None:
    """Write the bundle's tables of the repeat into ``folder``, in place of the raw logs."""
    window = result.window or Window(0.0, 0.0)
    evidence.write_tables(
        folder,
        measured.evidence,
        round(window.start_s * 1e9),
        round(window.end_s * 1e9),
        with_histograms=kinds.named(repeat.identity.cell.kind).through_http,
    )


@contextlib.asynccontextmanager
async def _beside(action: Awaitable[Any] | None) -> AsyncIterator[asyncio.Future[Any] | None]:
    """Run ``action``, if there is one, beside the block, and wait for it; a block that fails ends it first.

    What it returned is in the future that the block is given.
    """
    if action is None:
        yield None
        return
    task = asyncio.ensure_future(action)
    try:
        yield task
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _preload(kafka: Kafka, spec: LoadSpec, events: int, folder: Path) -> int:
    """Fill the topics, with everything started and nobody reading yet; return when that began (monotonic ns)."""
    path = ledger.path_of(folder, 0)
    await preload(kafka, spec, events, path)
    return ledger.read(path).head.epoch_monotonic_ns


async def _drain(
    target: Target, progress: ProgressWatch, phases: Phases, witness: ChildProcess, timeout_s: float
) -> None:
    """Wait until the load is stored, then what the witness had on its way; it looks once more, and ends."""
    deadline_s = time.monotonic() + timeout_s
    await phases.follow_drain(progress, deadline_s=deadline_s, working=target.is_working)
    if witness.pid:
        witness.stop()
        await phases.follow_drain(progress, deadline_s=deadline_s, working=target.is_working)


async def _collect(ready: Ready, observers: Observers) -> Evidence:
    """Read all that the repeat left behind, as far as the system reports it."""
    repeat, folder, witness = ready.repeat, ready.folder, ready.witness
    reports = repeat.system.reports
    audited = await asyncio.to_thread(offered.load, folder)
    of_load = audited.of_load()
    witnessed = Witnessed(audited, sightings.load(folder), witness.returncode) if witness.pid else None
    found, left = await asyncio.gather(_documents(ready, audited), ready.progress.leftovers())
    return Evidence(
        offered=of_load,
        scheduled=_scheduled(repeat, audited, of_load, witnessed),
        deliveries=await asyncio.to_thread(ready.target.deliveries) if "stamps" in reports else deliveries.none(),
        documents=found,
        leftovers=left,
        clock=observers.sampler.clock(),
        samples=tuple(observers.sampler.samples),
        backlog=ready.phases.backlog,
        witness=witnessed,
        counters=observers.counters.counters(folder),
        reports=reports,
    )


async def _documents(ready: Ready, audited: Offered) -> Documents:
    """Read what is stored and compare it with what was sent."""
    if "documents" not in ready.repeat.system.reports:
        return documents.none(audited)
    mongo, spec, share = ready.settings.mongo, ready.repeat.load_spec, ready.repeat.bounds.compare_share
    return await answered(lambda: asyncio.to_thread(evidence.read_documents, mongo, audited, spec, share))


def _scheduled(repeat: RepeatSpec, audited: Offered, of_load: Offered, witnessed: Witnessed | None) -> int:
    """Return how many events were due: of a drain its backlog, else by the schedules, the witness's too."""
    cell, kind = repeat.identity.cell, kinds.named(repeat.identity.cell.kind)
    if not kind.through_http:
        preloaded: int = kind.preloaded_events(cell)
        return preloaded
    spec = repeat.load_spec
    due = sum(
        schedule.offered(spec, index, len(of_load.streams), stopped_ns)
        for index, stopped_ns in zip(of_load.streams, of_load.stopped_ns, strict=True)
    )
    return due + (sightings.scheduled(spec, audited) if witnessed else 0)

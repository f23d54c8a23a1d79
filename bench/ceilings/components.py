"""Our own parts as they run in a cell, each alone: workers that empty their topics, the API, the generator.

They are measured among the bare loops that they are held against (:mod:`bench.ceilings.targets`), with everything on
that a cell has on: acknowledgements, deterministic identifiers, dead letters, metrics, recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil
from msgspec import structs

from bench.ceilings import material, meter, pinning
from bench.ceilings.loops import Loop
from bench.ceilings.meter import LoopMeasurement, Meter, Reading
from bench.errors import RepeatError
from bench.evidence import deliveries, durations
from bench.load import calibration, nullsink, stubserver
from bench.load.preload import preload
from bench.observe import usage
from bench.recorder.deliverieslog import EVENT
from bench.targets.target import Setup
from bench.targets.tidemark import Tidemark
from pipeline.settings import Settings
from traffic.ledger import Outcome
from traffic.spec import LoadSpec, Traffic

STORED_SHARE = 0.9
"""Of the backlog: until then the window lasts, as in a drain."""

_LOOK_S = 0.005
_NS = 1_000_000_000
_EVENT_BYTES = EVENT.size


async def drain(
    loop: Loop, settings: Settings, traffic: Traffic, folder: Path, pids: Mapping[str, list[int]], longest_s: float
) -> LoopMeasurement:
    """Fill topics, have ``loop.connections`` workers empty them, measure from the warm-up until 90% are stored.

    ``folder``: for logs and deliveries. ``pids``: of the servers, where they are ours.

    Raises:
        RepeatError: a worker ended, or did not get so far within ``longest_s``.
    """
    spec = LoadSpec(traffic=traffic, seed=material.SEED, run=1)
    events = material.fitting(loop.events, traffic)
    async with _system(settings, loop.connections, folder, with_api=False) as system:
        await preload(settings.kafka, spec, events, folder / "ledger-0.log")
        workers = system.processes()["worker"]
        reader = Meter({**pids, "worker": workers})
        servers = [pid for of_role in pids.values() for pid in of_role]
        with pinning.apart(servers, workers) if loop.apart else contextlib.nullcontext():
            await system.admit()
            deadline_s = time.monotonic() + longest_s
            before = await _when_delivered(system, loop.warm_up * events // loop.events, reader, deadline_s)
            after = await _when_delivered(system, int(STORED_SHARE * events), reader, deadline_s)
        memory = max(psutil.Process(pid).memory_info().rss for pid in workers)
        found = meter.measured(before, after, _delivered(system, before, after))
    return structs.replace(found, memory_mb=memory / 1e6)


@contextlib.asynccontextmanager
async def api(settings: Settings, folder: Path) -> AsyncIterator[Tidemark]:
    """Have the API for the block, with topics of its own."""
    async with _system(settings, 0, folder, with_api=True) as system:
        yield system


async def offering(loop: Loop, traffic: Traffic, folder: Path) -> LoopMeasurement:
    """Have the generator offer its load for some seconds to a server that keeps nothing.

    Raises:
        RepeatError: it ended badly, or was not answered as it should have been.
    """
    warm_up_s = loop.warm_up / loop.offered_load_events_per_s
    duration_s = warm_up_s + loop.events / loop.offered_load_events_per_s
    spec = LoadSpec(
        scenario="visitors" if loop.batch == 1 else "sdk",
        offered_load_events_per_s=loop.offered_load_events_per_s,
        duration_s=duration_s,
        seed=material.SEED,
        traffic=structs.replace(traffic, batch_min_events=loop.batch, batch_max_events=loop.batch),
    )
    sink = nullsink.null_sink(folder)
    try:
        sink.start()
        url = await asyncio.to_thread(stubserver.url_of, sink)
        seen = await calibration.offer(spec, url, folder / "offer", sink.pid)
    finally:
        sink.stop()
    return _offered(seen, round(warm_up_s * _NS), round(duration_s * _NS))


def _offered(seen: calibration.Offering, start_ns: int, end_ns: int) -> LoopMeasurement:
    rows = seen.offered.rows
    inside = rows[(rows["intended"] >= start_ns) & (rows["intended"] < end_ns)]
    answered = inside[inside["outcome"] == Outcome.ACCEPTED]
    if not len(answered):
        raise RepeatError("the server that keeps nothing accepted nothing of the generator's load")
    # As long as it took: a generator that cannot keep up gets its last answer late.
    last_ns = max(end_ns, int(answered["answered"].max()))
    epoch_ns = seen.offered.epoch_monotonic_ns
    found = usage.disturbance(seen.samples, epoch_ns + start_ns, epoch_ns + end_ns)
    if found is None:
        raise RepeatError("the machine was not looked at while the generator offered its load")
    return LoopMeasurement(
        events=int(answered["count"].sum()),
        took_s=(last_ns - start_ns) / _NS,
        cpu_s={"generator": calibration.cpu_s_between(seen, start_ns, last_ns)},
        service_time_ms=None,
        schedule_delay_ms=durations.percentiles(
            durations.of_requests(seen.offered, start_ns, end_ns).schedule_delay.astype(np.int64)
        ),
        disturbance=found,
    )


@contextlib.asynccontextmanager
async def _system(settings: Settings, consumers: int, folder: Path, *, with_api: bool) -> AsyncIterator[Tidemark]:
    """Have API or workers for the block, on topics and a collection of their own; nothing of it stays."""
    system = Tidemark(Setup(settings, folder, consumers))
    await system.provision()
    try:
        await system.start(through_http=with_api)
        yield system
    finally:
        crashes = await asyncio.to_thread(system.stop)
        await system.remove()
    if crashes:
        raise RepeatError(f"{crashes[0]}; {_last_words(system)}")


def _last_words(system: Tidemark) -> str:
    return "; ".join(each.last_words() for each in [*([system.api] if system.api else []), *system.workers])


async def _when_delivered(system: Tidemark, events: int, reader: Meter, deadline_s: float) -> Reading:
    """Read clock and CPU when the workers have ``events`` events behind them, by the sizes of their logs."""
    paths, wanted = system.deliveries_logs, events * _EVENT_BYTES
    while sum(_size(path) for path in paths) < wanted:
        if time.monotonic() > deadline_s or not system.is_working():
            raise RepeatError(f"the workers did not store {events:,} events in time; {_last_words(system)}")
        await asyncio.sleep(_LOOK_S)
    return reader.read()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the worker has not begun it yet
        return 0


def _delivered(system: Tidemark, before: Reading, after: Reading) -> int:
    """Count the events that were acknowledged between two readings."""
    paths: Sequence[Path] = system.deliveries_logs
    rows = deliveries.load(paths, [None] * len(paths)).rows
    at_ns = rows["acknowledged_ns"]
    return int(((at_ns > before.at_ns) & (at_ns <= after.at_ns)).sum())

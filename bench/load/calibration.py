"""What the generator can do: one process of it against a server that keeps nothing, up to where it fails its bounds.

A staircase of loads goes from little to more than a first short look suggests that a core can do. Of each stair it
is known how late requests went out, how many did not, and what share of a core the process used: the bounds of
validity that are about the generator. The answer holds for this machine, this code and this traffic; it is kept
in the cache folder and made anew when any of these has changed.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from msgspec import structs
from numpy.typing import NDArray

from bench.cells.bounds import Bounds
from bench.errors import RepeatError
from bench.evidence import durations, offered
from bench.evidence.offered import Offered
from bench.load import nullsink, stubserver
from bench.load.generator import begin, generator_process
from bench.observe import environment, machinecache, usage
from bench.observe.environment import Environment
from bench.observe.sampling import Sample, UsageSampler
from bundle import writing
from bundle.calibration import Calibration, Stair
from pipeline.local.process import ChildProcess
from traffic.ledger import Outcome
from traffic.spec import LoadSpec, ProfileShape, Traffic

_FOLDER = "calibration"
_FIRST_LOOK = LoadSpec(offered_load_events_per_s=40_000.0, duration_s=2.0)
_SETTLED_S = 0.5  # of the first look, what is left out
_STAIRS = 10
_STAIR_S = 1.0
_BEYOND = 1.25  # the last stair lies so far above what the first look suggests
_LEAST_EVENTS_PER_S, _MOST_EVENTS_PER_S = 5_000.0, 2_000_000.0
_UNSENT_AFTER_S = 0.5  # a load that is too high is not carried on into the stairs after it
_SAMPLE_S = 0.02
_END_S = 20.0
_NS = 1_000_000_000
_ROOT = Path(__file__).resolve().parents[2]
# The code that decides what a generator can do, and the server that it is calibrated against.
_CODE = (
    "traffic/*.py",
    "loadtest/*.py",
    "bench/load/nullsink.py",
    "bench/load/stubserver.py",
    "bench/load/calibration.py",
)
_PACKAGES = ("python", "gevent", "httptools", "locust", "msgspec", "numpy", "uvloop")


@dataclass(frozen=True)
class Offering:
    """One load as offered: the ledger, and the CPU time that the process had used (s) at some moments (ns).

    ``samples``: of the machine, once a second.
    """

    offered: Offered
    at_ns: NDArray[np.int64]
    cpu_s: NDArray[np.float64]
    samples: Sequence[Sample]


def fingerprint(here: Environment, traffic: Traffic, bounds: Bounds) -> str:
    """Return what a calibration depends on, as a checksum: machine, kernel, code, packages, traffic and bounds."""
    describe = {
        "traffic": traffic,
        "bounds": [bounds.schedule_delay_p99_ms, bounds.generator_cpu_share, bounds.unsent],
    }
    return machinecache.fingerprint(here, _PACKAGES, _ROOT, _CODE, describe)


def kept(cache: Path, wanted: str, bounds: Bounds) -> Calibration | None:
    """Return the calibration with the fingerprint ``wanted`` that an earlier run left in ``cache``, if there is one.

    One that was made beside other programs is given for an hour.
    """
    there = machinecache.find(cache / _FOLDER, wanted, Calibration)
    if there is None:
        return None
    found, age_s = there
    return None if is_disturbed(found, bounds) and age_s > machinecache.DISTURBED_KEPT_S else found


def keep(cache: Path, found: Calibration) -> None:
    """Leave ``found`` in ``cache`` for later runs."""
    machinecache.keep(cache / _FOLDER, found, found.fingerprint)


async def at_hand(
    cache: Path, traffic: Traffic, bounds: Bounds, logs: Path, on_progress: Callable[[str], None]
) -> Calibration:
    """Return the calibration for this machine, code and traffic: kept from an earlier run in ``cache``, or made now.

    Raises:
        RepeatError, ProcessFailedError: it could not be made.
    """
    wanted = fingerprint(environment.describe(), traffic, bounds)
    found = kept(cache, wanted, bounds)
    if found is None:
        on_progress("calibrating the generator against a server that keeps nothing: about 20 s, once on this machine")
        found = await calibrate(traffic, bounds, wanted, logs)
        keep(cache, found)
    on_progress(describe(found))
    if is_disturbed(found, bounds):
        on_progress("something else used the machine when that was measured: an hour later it is measured again")
    return found


def is_disturbed(found: Calibration, bounds: Bounds) -> bool:
    """Say whether the machine had more to do beside it than a valid repeat may have."""
    return machinecache.is_disturbed(found.disturbance, bounds)


def describe(found: Calibration) -> str:
    """Say in a line what the generator can do."""
    if found.highest_events_per_s is None:
        return "the generator kept to its bounds at no load that was tried: this machine is too slow, or too busy"
    least = "at least " if found.beyond else ""
    return (
        f"one process of the generator offers up to {least}{found.highest_events_per_s:,.0f} events/s "
        f"within its bounds, for {found.cpu_s_per_100k_events:.2f} CPU-s per 100k events"
    )


async def calibrate(traffic: Traffic, bounds: Bounds, wanted: str, logs: Path) -> Calibration:
    """Find the highest load at which one process of the generator keeps to ``bounds``; takes some 20 seconds.

    ``wanted``: the fingerprint that it shall bear. What the processes print goes to ``logs``.

    Raises:
        RepeatError, ProcessFailedError: generator or null sink did not do what it should.
    """
    began_s = time.monotonic()
    sink = nullsink.null_sink(logs)
    folder = _made(logs)
    try:
        sink.start()
        url = await asyncio.to_thread(stubserver.url_of, sink)
        first = structs.replace(_FIRST_LOOK, traffic=traffic)
        look = await offer(first, url, folder / "look", sink.pid)
        top = _top(first, look, bounds)
        staircase = LoadSpec(
            offered_load_events_per_s=top,
            profile="step",
            profile_shape=ProfileShape(steps=_STAIRS),
            duration_s=_STAIRS * _STAIR_S,
            traffic=traffic,
        )
        seen = await offer(staircase, url, folder / "stairs", sink.pid)
    finally:
        sink.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return conclude(seen, top, bounds, wanted, time.monotonic() - began_s)


def conclude(seen: Offering, top: float, bounds: Bounds, wanted: str, took_s: float) -> Calibration:
    """Say what a staircase up to ``top`` events/s comes to: the highest stair that holds, as the one below it does.

    So neither a moment of disturbance below hides what the generator can do, nor does a lucky stair above
    what it can do count.
    """
    stairs = stairs_of(seen, top, bounds)
    epoch_ns = seen.offered.epoch_monotonic_ns
    holding = [stair for below, stair in zip([None, *stairs], stairs, strict=False) if _counts(below, stair)]
    best = holding[-1] if holding else None
    return Calibration(
        fingerprint=wanted,
        measured_at=writing.now(),
        took_s=took_s,
        highest_events_per_s=best.offered_load_events_per_s if best else None,
        beyond=best is not None and best == stairs[-1],
        cpu_s_per_100k_events=best.cpu_s_per_100k_events if best else None,
        schedule_delay_p99_ms=bounds.schedule_delay_p99_ms,
        generator_cpu_share=bounds.generator_cpu_share,
        disturbance=usage.disturbance(seen.samples, epoch_ns, epoch_ns + round(_STAIRS * _STAIR_S * _NS)),
        stairs=tuple(stairs),
    )


def _counts(below: Stair | None, stair: Stair) -> bool:
    return stair.holds and (below is None or below.holds)


def stairs_of(seen: Offering, top: float, bounds: Bounds) -> list[Stair]:
    """Judge each stair of a staircase up to ``top`` events/s, from the moment that it began until the next one did."""
    stairs = []
    rows = seen.offered.rows
    for number in range(_STAIRS):
        start_ns, end_ns = round(number * _STAIR_S * _NS), round((number + 1) * _STAIR_S * _NS)
        inside = rows[(rows["intended"] >= start_ns) & (rows["intended"] < end_ns)]
        delay = durations.of_requests(seen.offered, start_ns, end_ns).schedule_delay
        cpu_s = cpu_s_between(seen, start_ns, end_ns)
        events = int(inside["count"].sum())
        unsent = int(inside["count"][inside["outcome"] == Outcome.UNSENT].sum())
        failed = int(inside["count"][inside["outcome"] != Outcome.ACCEPTED].sum()) - unsent
        delay_ms = float(np.quantile(delay, 0.99)) / 1e6 if len(delay) else None
        share = cpu_s / _STAIR_S
        late = delay_ms is None or delay_ms > bounds.schedule_delay_p99_ms
        stairs.append(
            Stair(
                offered_load_events_per_s=top * (number + 1) / _STAIRS,
                requests_per_s=len(delay) / _STAIR_S,
                schedule_delay_p99_ms=delay_ms,
                cpu_share=share,
                cpu_s_per_100k_events=cpu_s / events * 100_000 if events else 0.0,
                unsent=unsent,
                holds=not late and share <= bounds.generator_cpu_share and unsent <= bounds.unsent and not failed,
            )
        )
    return stairs


def _top(spec: LoadSpec, look: Offering, bounds: Bounds) -> float:
    """Return the load of the last stair: beyond what the first look's share of a core suggests."""
    start_ns, end_ns = round(_SETTLED_S * _NS), round(spec.duration_s * _NS)
    share = cpu_s_between(look, start_ns, end_ns) * _NS / (end_ns - start_ns)
    suggested = spec.offered_load_events_per_s * bounds.generator_cpu_share / max(share, 1e-3)
    return round(min(max(_BEYOND * suggested, _LEAST_EVENTS_PER_S), _MOST_EVENTS_PER_S), -3)


def cpu_s_between(seen: Offering, start_ns: int, end_ns: int) -> float:
    """Return the CPU time used between two moments after the epoch."""
    at_ns = seen.at_ns - seen.offered.epoch_monotonic_ns
    return float(np.interp(end_ns, at_ns, seen.cpu_s) - np.interp(start_ns, at_ns, seen.cpu_s))


def _made(logs: Path) -> Path:
    logs.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="calibration-", dir=logs))


async def offer(spec: LoadSpec, url: str, folder: Path, sink_pid: int) -> Offering:
    """Have one generator process offer ``spec`` to the null sink at ``url``; ``folder`` is made.

    Raises:
        RepeatError: the generator did not do what it should.
    """
    (folder / "logs").mkdir(parents=True)
    generator = generator_process(spec, url, 1, folder, unsent_after_s=_UNSENT_AFTER_S)
    # The sink stands in the API's place.
    sampler = UsageSampler(lambda: {"generator": [generator.pid] if generator.pid else [], "api": [sink_pid]})
    sampler.start()
    try:
        generator.start()
        await begin(generator, folder)
        cpu_times = await _watch(generator, time.monotonic() + spec.duration_s + _END_S)
        # Gone from the list of processes is a moment earlier than its exit code is known.
        code = await asyncio.to_thread(generator.wait, _END_S)
        if code != 0:
            raise RepeatError(f"the generator ended its calibration with exit code {code}; {generator.last_words()}")
        sampler.stop()
        at_ns, cpu_s = zip(*cpu_times, strict=True)
        return Offering(offered.load(folder), np.array(at_ns, dtype=np.int64), np.array(cpu_s), sampler.samples)
    finally:
        sampler.stop()
        generator.stop()


async def _watch(generator: ChildProcess, deadline_s: float) -> list[tuple[int, float]]:
    """Note moments (monotonic ns) and the CPU time used until then (s), as long as the generator runs."""
    samples: list[tuple[int, float]] = []
    try:
        process = psutil.Process(generator.pid)
        while generator.running():
            times = process.cpu_times()
            samples.append((time.monotonic_ns(), times.user + times.system))
            if time.monotonic() > deadline_s:
                raise RepeatError(f"the generator did not end its calibration in time; {generator.last_words()}")
            await asyncio.sleep(_SAMPLE_S)
    except psutil.NoSuchProcess:  # it ended between the two looks
        pass
    if not samples:
        raise RepeatError(f"the generator ended before its calibration; {generator.last_words()}")
    return samples

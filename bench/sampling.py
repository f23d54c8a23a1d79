"""Once a second: CPU, memory and I/O of every role, and the distance between the two clocks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import psutil
from numpy.typing import NDArray

PERIOD_S = 1.0
ROLES = ("generator", "api", "kafka", "worker", "mongodb", "harness", "witness")


@dataclass(frozen=True)
class Usage:
    """What the processes of one role have used since they started, and the memory they hold now."""

    cpu_s: float = 0.0
    memory_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0


@dataclass(frozen=True)
class Machine:
    """CPU seconds of all cores since the machine started: used by any process, and stolen by the host of a guest."""

    busy_s: float = 0.0
    stolen_s: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One look: when (monotonic ns), wall minus monotonic (ns), usage by role, CPU-s by generator process."""

    at_ns: int
    clock_offset_ns: int
    usage: Mapping[str, Usage]
    generator_cpu_s: Mapping[int, float]
    machine: Machine = Machine()


@dataclass(frozen=True)
class ClockSamples:
    """The wall clock against the monotonic one, as sampled."""

    at_ns: NDArray[np.int64]
    offset_ns: NDArray[np.int64]

    def to_monotonic(self, wall_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn wall-clock ns since 1970 into monotonic ns, by the offset interpolated between samples."""
        base = self.offset_ns[0]
        shift = np.interp(wall_ns - base, self.at_ns, self.offset_ns - base)
        monotonic: NDArray[np.int64] = wall_ns - base - np.rint(shift).astype(np.int64)
        return monotonic

    def drift_max_ms_per_s(self) -> float:
        """Give the largest change of the offset over one second between neighbouring samples."""
        if len(self.at_ns) < 2:  # noqa: PLR2004 - a difference needs two
            return 0.0
        seconds = np.diff(self.at_ns) / 1e9
        return float((np.abs(np.diff(self.offset_ns)) / 1e6 / np.maximum(seconds, 1.0)).max())


@dataclass
class Sampler:
    """A thread that samples until stopped; a process that ended keeps what it had used until then.

    ``processes`` gives, at each look, the pids of each role: their children count with them.
    ``max_samples`` bounds what is kept.
    """

    processes: Callable[[], Mapping[str, list[int]]]
    max_samples: int = 24 * 3600
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._known: dict[str, dict[int, Usage]] = {role: {} for role in ROLES}
        self._handles: dict[int, psutil.Process] = {}

    def start(self) -> None:
        """Take the first sample at once, the others each second."""
        self._sample()
        self._thread.start()

    def stop(self) -> None:
        """Take the last sample and end; may be called twice."""
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join(timeout=5 * PERIOD_S)
            self._sample()

    def clock(self) -> ClockSamples:
        """Give the clock samples so far."""
        return ClockSamples(
            np.array([each.at_ns for each in self.samples], dtype=np.int64),
            np.array([each.clock_offset_ns for each in self.samples], dtype=np.int64),
        )

    def _run(self) -> None:
        due = time.monotonic() + PERIOD_S
        while not self._ended.wait(max(0.0, due - time.monotonic())) and len(self.samples) < self.max_samples:
            self._sample()
            due = max(due + PERIOD_S, time.monotonic())

    def _sample(self) -> None:
        at_ns, offset_ns = clock_offset()
        for role, pids in {**self.processes(), "harness": [os.getpid()]}.items():
            known = self._known[role]
            for pid, before in known.items():
                known[pid] = replace(before, memory_bytes=0)  # unless it is still there
            for process in self._with_children(pids, children=role != "harness"):
                usage = _usage(process)
                if usage is not None:
                    known[process.pid] = usage
        totals = {role: _sum(list(known.values())) for role, known in self._known.items()}
        generator = {pid: usage.cpu_s for pid, usage in self._known["generator"].items()}
        self.samples.append(Sample(at_ns, offset_ns, totals, generator, _machine()))

    def _with_children(self, pids: list[int], *, children: bool) -> list[psutil.Process]:
        found = []
        for pid in pids:
            process = self._handle(pid)
            if process is None:
                continue
            found.append(process)
            if children:
                try:
                    found += [self._handles.setdefault(each.pid, each) for each in process.children(recursive=True)]
                except psutil.NoSuchProcess:
                    continue
        return found

    def _handle(self, pid: int) -> psutil.Process | None:
        if pid not in self._handles:
            try:
                self._handles[pid] = psutil.Process(pid)
            except psutil.NoSuchProcess:
                return None
        return self._handles[pid]


def clock_offset() -> tuple[int, int]:
    """Read both clocks: (monotonic ns, wall minus monotonic ns), the tightest of five readings."""
    best_width, best = None, (0, 0)
    for _ in range(5):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if best_width is None or after - before < best_width:
            middle = (before + after) // 2
            best_width, best = after - before, (middle, wall - middle)
    return best


def _machine() -> Machine:
    times = psutil.cpu_times()
    used = (getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    return Machine(sum(used), getattr(times, "steal", 0.0))


def _usage(process: psutil.Process) -> Usage | None:
    """Read one process; None if it is gone."""
    try:
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_info().rss
            if hasattr(process, "io_counters"):
                io = process.io_counters()
                return Usage(times.user + times.system, memory, io.read_bytes, io.write_bytes)
            return Usage(times.user + times.system, memory)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _sum(usages: list[Usage]) -> Usage:
    return Usage(
        sum(each.cpu_s for each in usages),
        sum(each.memory_bytes for each in usages),
        sum(each.read_bytes for each in usages),
        sum(each.write_bytes for each in usages),
    )

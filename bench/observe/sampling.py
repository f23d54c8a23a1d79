"""Once a second: what every role and the machine have used, and the distance between the two clocks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil
from numpy.typing import NDArray

from bench.observe.processes import Followed, Usage, total
from bench.observe.programs import Programs

PERIOD_S = 1.0
ROLES = ("generator", "api", "kafka", "worker", "mongodb", "dashboard", "harness", "witness")
"""Of a run that measures Tidemark's own pipeline, in their usual order."""
_BESIDE = ("generator", "kafka", "mongodb", "harness", "witness")
"""Those that there are whatever is measured."""


def roles_with(roles: Sequence[str]) -> tuple[str, ...]:
    """Return all roles of a run whose system under test has ``roles``: the usual ones in their order, then others."""
    there = {*_BESIDE, *roles}
    return tuple(dict.fromkeys([each for each in (*ROLES, *roles) if each in there]))


@dataclass(frozen=True)
class Machine:
    """Since the machine started: CPU seconds of all cores used by any process, and stolen by the host of a guest.

    ``loopback_bytes``: what passed between processes of this machine; None where the kernel does not report it.
    """

    busy_s: float = 0.0
    stolen_s: float = 0.0
    loopback_bytes: int | None = None


@dataclass(frozen=True)
class Sample:
    """One look: when (monotonic ns), wall minus monotonic (ns), usage by role, CPU-s by role and process.

    ``others``: CPU-s that other programs used since the first look, by name.
    """

    at_ns: int
    clock_offset_ns: int
    usage: Mapping[str, Usage]
    process_cpu_s: Mapping[str, Mapping[int, float]]
    machine: Machine = Machine()
    others: Mapping[str, float] = field(default_factory=dict)


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
        """Return the largest change of the offset over one second between neighbouring samples."""
        if len(self.at_ns) < 2:  # noqa: PLR2004 - a difference needs two
            return 0.0
        seconds = np.diff(self.at_ns) / 1e9
        return float((np.abs(np.diff(self.offset_ns)) / 1e6 / np.maximum(seconds, 1.0)).max())


@dataclass
class UsageSampler:
    """A thread that samples until stopped; a process that ended keeps what it had used until then.

    ``processes`` returns, at each look, the pids of each of the ``roles``: their children count with them.
    ``max_samples`` bounds what is kept.
    """

    processes: Callable[[], Mapping[str, list[int]]]
    roles: tuple[str, ...] = ROLES
    max_samples: int = 24 * 3600
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._followed = Followed(self.roles)
        self._programs = Programs()

    def start(self) -> None:
        """Take the first sample at once, the others each second."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Take the last sample and end; may be called twice."""
        if not self._ended.is_set():
            self._ended.set()
            if self._thread.is_alive():
                self._thread.join(timeout=5 * PERIOD_S)
            self.look()

    def look(self) -> None:
        """Take a sample now as well: before a process ends, whose use since its last sample would go with it."""
        with self._looking:
            self._sample()

    def clock(self) -> ClockSamples:
        """Return the clock samples so far."""
        return ClockSamples(
            np.array([each.at_ns for each in self.samples], dtype=np.int64),
            np.array([each.clock_offset_ns for each in self.samples], dtype=np.int64),
        )

    def _run(self) -> None:
        due = time.monotonic() + PERIOD_S
        while not self._ended.wait(max(0.0, due - time.monotonic())) and len(self.samples) < self.max_samples:
            self.look()
            due = max(due + PERIOD_S, time.monotonic())

    def _sample(self) -> None:
        at_ns, offset_ns = clock_offset()
        self._followed.look(self.processes(), alone={"harness": [os.getpid()]})
        by_process = self._followed.usage()
        totals = {role: total(usages.values()) for role, usages in by_process.items()}
        cpu_s = {role: {pid: usage.cpu_s for pid, usage in usages.items()} for role, usages in by_process.items()}
        used, others = machine(), self._programs.look(self._followed.ours)
        self.samples.append(Sample(at_ns, offset_ns, totals, cpu_s, used, others))


def clock_offset() -> tuple[int, int]:
    """Read both clocks: (monotonic ns, wall minus monotonic ns), the tightest of five readings."""
    best_width, best = None, (0, 0)
    for _ in range(5):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if best_width is None or after - before < best_width:
            middle = (before + after) // 2
            best_width, best = after - before, (middle, wall - middle)
    return best


def machine() -> Machine:
    """Read what the machine has used since it started."""
    times = psutil.cpu_times()
    used = (getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    return Machine(sum(used), getattr(times, "steal", 0.0), _loopback_bytes())


def _loopback_bytes() -> int | None:
    """Count what came in over the loopback interface, which is what went out; it is called so on Linux and macOS."""
    interfaces = psutil.net_io_counters(pernic=True)
    found = interfaces.get("lo") or interfaces.get("lo0")
    return found.bytes_recv if found else None

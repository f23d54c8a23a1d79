"""Clock and CPU of one bare loop, read from within its own process at the moments that count."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil
from msgspec import Struct

from bench.errors import RepeatError
from bench.observe.sampling import Machine, machine
from bundle.result import Disturbance, Percentiles

CLIENT = "client"
_NS = 1_000_000_000


@dataclass(frozen=True)
class Reading:
    """One moment: when it was (monotonic ns), CPU-s used until then by role and of the machine."""

    at_ns: int
    cpu_s: Mapping[str, float]
    machine: Machine


class LoopMeasurement(Struct, frozen=True, kw_only=True):
    """The result of one repeat of a loop; ``cpu_s``: of the client and of each role that was followed.

    ``memory_mb``: of the largest process of a part, at the end of its window. None: not of this kind of loop.
    """

    events: int
    took_s: float
    cpu_s: dict[str, float]
    service_time_ms: Percentiles | None = None
    schedule_delay_ms: Percentiles | None = None
    memory_mb: float | None = None
    disturbance: Disturbance


class Meter:
    """Follows this process, whose CPU time is exact, and others, which the kernel reports in ticks of 10 ms."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        """``pids``: of the other processes that belong to the measurement, by role; all of them run."""
        try:
            self._others = {role: [psutil.Process(pid) for pid in of_role] for role, of_role in pids.items()}
        except psutil.NoSuchProcess as error:
            raise RepeatError(f"a process that was to be followed has ended: {error}") from error

    def read(self) -> Reading:
        """Read clock and CPU now.

        Raises:
            RepeatError: one of the processes has ended.
        """
        try:
            cpu_s = {role: sum(_used_s(each) for each in of_role) for role, of_role in self._others.items()}
        except psutil.NoSuchProcess as error:
            raise RepeatError(f"a process that was followed has ended: {error}") from error
        return Reading(time.monotonic_ns(), {CLIENT: time.process_time(), **cpu_s}, machine())


def measured(
    before: Reading, after: Reading, events: int, service_time_ms: Percentiles | None = None
) -> LoopMeasurement:
    """Say what lay between two readings, in which ``events`` were done."""
    took_s = (after.at_ns - before.at_ns) / _NS
    cpu_s = {role: used_s - before.cpu_s[role] for role, used_s in after.cpu_s.items()}
    there_s = took_s * (os.cpu_count() or 1)
    others_s = after.machine.busy_s - before.machine.busy_s - sum(cpu_s.values())
    stolen_s = after.machine.stolen_s - before.machine.stolen_s
    return LoopMeasurement(
        events=events,
        took_s=took_s,
        cpu_s=cpu_s,
        service_time_ms=service_time_ms,
        disturbance=Disturbance(max(0.0, others_s) / there_s, stolen_s / there_s),
    )


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system

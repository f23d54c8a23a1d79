"""What the roles and the machine used: summed up over a window, and second by second."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.observe.sampling import Sample
from bundle.result import Disturbance, Program

_NS = 1_000_000_000
_MOST_PROGRAMS = 4
_LEAST_SHARE = 0.01  # of the machine's CPU; programs below it are not named


@dataclass(frozen=True)
class UsageInWindow:
    """Over a window, by role; of memory, the most at any time.

    The first three have every role, the others those that had a process and whose figure the kernel reports.
    """

    cpu_s: dict[str, float]
    cpu_cores: dict[str, float]
    memory_max_bytes: dict[str, int]
    cpu_user_cores: dict[str, float]
    cpu_system_cores: dict[str, float]
    busiest_process_cores: dict[str, float]
    context_switches_per_s: dict[str, float]
    write_bytes_per_s: dict[str, float]
    loopback_bytes_per_s: float | None


def of_window(samples: Sequence[Sample], start_ns: int, end_ns: int) -> UsageInWindow:
    """Sum up a window (monotonic ns); one without length has used nothing."""
    spent = {name: float(grown[0]) for name, grown in _growth(samples, np.array([start_ns, end_ns])).items()}
    length_s = max(0.0, (end_ns - start_ns) / _NS)
    roles = _roles(samples)
    rates = {name: value / length_s for name, value in spent.items()} if length_s else {}

    def by_role(figure: str) -> dict[str, float]:
        return {role: rates[f"{figure}_{role}"] for role in roles if f"{figure}_{role}" in rates}

    return UsageInWindow(
        cpu_s={role: spent.get(f"cpu_s_{role}", 0.0) for role in roles},
        cpu_cores={role: rates.get(f"cpu_s_{role}", 0.0) for role in roles},
        memory_max_bytes={role: max(each.usage[role].memory_bytes for each in samples) for role in roles},
        cpu_user_cores=by_role("cpu_user_s"),
        cpu_system_cores=by_role("cpu_system_s"),
        busiest_process_cores=by_role("busiest_process_cpu_s"),
        context_switches_per_s=by_role("context_switches"),
        write_bytes_per_s=by_role("write_bytes"),
        loopback_bytes_per_s=rates.get("loopback_bytes"),
    )


def disturbance(samples: Sequence[Sample], start_ns: int, end_ns: int) -> Disturbance | None:
    """Return what the machine had to do beside the roles, over a window (monotonic ns); None if that has no length."""
    if end_ns <= start_ns:
        return None
    at_ns = np.array([each.at_ns for each in samples], dtype=np.int64)

    def spent_s(totals_s: list[float]) -> float:
        first, last = np.interp([start_ns, end_ns], at_ns, totals_s)
        return float(last - first)

    there_s = (end_ns - start_ns) / _NS * (os.cpu_count() or 1)
    ours_s = spent_s([sum(each.cpu_s for each in sample.usage.values()) for sample in samples])
    busy_s = spent_s([sample.machine.busy_s for sample in samples])
    stolen_s = spent_s([sample.machine.stolen_s for sample in samples])
    names = {name for sample in samples for name in sample.others}
    shares = {name: spent_s([each.others.get(name, 0.0) for each in samples]) / there_s for name in names}
    busiest = sorted(shares, key=lambda name: (-shares[name], name))[:_MOST_PROGRAMS]
    programs = tuple(Program(name, shares[name]) for name in busiest if shares[name] >= _LEAST_SHARE)
    return Disturbance(max(0.0, busy_s - ours_s) / there_s, stolen_s / there_s, programs)


def columns(samples: Sequence[Sample], edges_ns: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """Return the columns of the time series between neighbouring ``edges_ns``: CPU in seconds, all else counts."""
    grown = _growth(samples, edges_ns)
    return {name: values if "cpu" in name else np.rint(values).astype(np.int64) for name, values in grown.items()}


def _roles(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the roles that were followed, which are the same at every look."""
    return tuple(samples[0].usage) if samples else ()


def _growth(samples: Sequence[Sample], edges_ns: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return what grew between neighbouring ``edges_ns`` by name, of roles that had a process."""
    at_ns = np.array([each.at_ns for each in samples], dtype=np.int64)

    def growth(totals: Sequence[float]) -> NDArray[np.float64]:
        return np.diff(np.interp(edges_ns, at_ns, np.array(totals, dtype=np.float64)))

    found: dict[str, NDArray[np.float64]] = {}
    for role in _roles(samples):
        pids = {pid for sample in samples for pid in sample.process_cpu_s.get(role, {})}
        if not pids:
            continue
        for figure in ("cpu_s", "cpu_user_s", "cpu_system_s", "read_bytes", "write_bytes", "context_switches"):
            totals = [getattr(sample.usage[role], figure) for sample in samples]
            if None not in totals:
                found[f"{figure}_{role}"] = growth(totals)
        of_processes = [growth([each.process_cpu_s[role].get(pid, 0.0) for each in samples]) for pid in pids]
        found[f"busiest_process_cpu_s_{role}"] = np.max(of_processes, axis=0)
    loopback = [each.machine.loopback_bytes for each in samples if each.machine.loopback_bytes is not None]
    if len(loopback) == len(samples):
        found["loopback_bytes"] = growth(loopback)
    return found

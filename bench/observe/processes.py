"""What the processes of each role have used since they started, read from the kernel."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

_COUNTS_TASKS = sys.platform == "linux"


@dataclass(frozen=True)
class Usage:
    """CPU, I/O and context switches since the start, and the memory held now; None: the kernel does not report it."""

    cpu_user_s: float = 0.0
    cpu_system_s: float = 0.0
    memory_bytes: int = 0
    read_bytes: int | None = 0
    write_bytes: int | None = 0
    context_switches: int | None = 0

    @property
    def cpu_s(self) -> float:
        """User and system together."""
        return self.cpu_user_s + self.cpu_system_s


def total(usages: Iterable[Usage]) -> Usage:
    """Add up; a figure that one of them has not, the sum has not either."""
    usages = list(usages)
    return Usage(
        sum(each.cpu_user_s for each in usages),
        sum(each.cpu_system_s for each in usages),
        sum(each.memory_bytes for each in usages),
        _sum(each.read_bytes for each in usages),
        _sum(each.write_bytes for each in usages),
        _sum(each.context_switches for each in usages),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    added = 0
    for value in values:
        if value is None:
            return None
        added += value
    return added


@dataclass
class _Process:
    """One process that is followed: how often its threads were switched is added up as they come and go."""

    handle: psutil.Process
    usage: Usage = Usage()
    by_task: dict[str, int] = field(default_factory=dict)

    def read(self) -> bool:
        """Read it once; False if it is gone."""
        try:
            with self.handle.oneshot():
                times, memory_bytes = self.handle.cpu_times(), self.handle.memory_info().rss
                read_bytes = write_bytes = None
                if hasattr(self.handle, "io_counters"):
                    with contextlib.suppress(psutil.AccessDenied):
                        io = self.handle.io_counters()
                        read_bytes, write_bytes = io.read_bytes, io.write_bytes
                switches = self._switches()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        self.usage = Usage(times.user, times.system, memory_bytes, read_bytes, write_bytes, switches)
        return True

    def _switches(self) -> int | None:
        """Count how often a thread of it was given a CPU since it is followed.

        On Linux a process's own figures are those of its first thread, of a JVM or mongod an idle one: so each
        thread is asked, by the shortest file that says it. A thread that lived between two looks is not seen.
        """
        if not _COUNTS_TASKS:
            counted = self.handle.num_ctx_switches()
            return counted.voluntary + counted.involuntary
        found = _switches_by_task(self.handle.pid)
        if found is None:
            return None
        before = self.usage.context_switches or 0
        added = sum(max(0, count - self.by_task.get(task, 0)) for task, count in found.items())
        self.by_task = found
        return before + added


def _switches_by_task(pid: int) -> dict[str, int] | None:
    """Return the times that each thread was put on a CPU; None where this kernel does not count them."""
    found = {}
    folder = f"/proc/{pid}/task"
    try:
        tasks = os.listdir(folder)  # noqa: PTH208 - a second's work for a hundred threads: no objects around names
    except OSError:
        return {}
    for task in tasks:
        try:
            descriptor = os.open(f"{folder}/{task}/schedstat", os.O_RDONLY)
        except FileNotFoundError:
            if not Path("/proc/self/schedstat").exists():
                return None
            continue  # the thread has ended
        try:
            fields = os.read(descriptor, 128).split()
        except OSError:
            continue
        finally:
            os.close(descriptor)
        if len(fields) == 3:  # noqa: PLR2004 - time on a CPU, time waiting for one, times given one
            found[task] = int(fields[2])
    return found


class Followed:
    """The processes of every role, their children with them. One that ended keeps what it had used, and no memory."""

    def __init__(self, roles: Iterable[str]) -> None:
        self._roles: dict[str, dict[int, _Process]] = {role: {} for role in roles}
        self.ours: frozenset[int] = frozenset()  # at the last look: this process, all its descendants, all roles'

    def look(self, pids: Mapping[str, list[int]], alone: Mapping[str, list[int]]) -> None:
        """Read the processes ``pids`` of each role with their children, and ``alone`` without."""
        children = _children_of_this()
        ours = {os.getpid()}.union(*children.values())
        for role, roots in {**pids, **alone}.items():
            known = self._roles[role]
            for process in known.values():
                process.usage = replace(process.usage, memory_bytes=0)  # unless it is still there
            for pid in roots if role in alone else _with_descendants(roots, children):
                followed = known.get(pid) or _follow(known, pid)
                if followed is not None:
                    followed.read()
                ours.add(pid)
        self.ours = frozenset(ours)

    def usage(self) -> dict[str, dict[int, Usage]]:
        """Return what each process of each role has used."""
        return {role: {pid: each.usage for pid, each in known.items()} for role, known in self._roles.items()}


def _follow(known: dict[int, _Process], pid: int) -> _Process | None:
    try:
        process = _Process(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return None
    known[pid] = process
    return process


def _children_of_this() -> dict[int, list[int]]:
    """Return the children of each process that descends from this one: all that can be of a role are among them.

    One look at the machine's processes, where asking each role for its children would take as many.
    """
    found: dict[int, list[int]] = {}
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.setdefault(each.ppid(), []).append(each.pid)
    return found


def _with_descendants(roots: list[int], children: Mapping[int, list[int]]) -> list[int]:
    found = list(roots)
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found

"""Which cores processes may use: servers on one, workers on another, so that neither takes the other's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

NEEDED_CORES = 2


def possible() -> bool:
    """Say whether this system can pin processes, and has cores enough for it."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) >= NEEDED_CORES


@contextlib.contextmanager
def apart(servers: Collection[int], workers: Collection[int]) -> Iterator[None]:
    """Keep the processes ``servers`` to one core and ``workers`` to another, for the block.

    Afterwards the servers have what they had before; workers end with their repeat.
    """
    one, another = sorted(os.sched_getaffinity(0))[:NEEDED_CORES]
    before = {pid: os.sched_getaffinity(pid) for pid in servers}
    try:
        for pids, core in ((servers, one), (workers, another)):
            for pid in pids:
                _pin(pid, {core})
        yield
    finally:
        for pid, cores in before.items():
            _pin(pid, cores)


def _pin(pid: int, cores: set[int]) -> None:
    """Let all threads of a process use ``cores`` alone; threads that they begin from now on do as well."""
    with contextlib.suppress(FileNotFoundError):  # the process has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # the thread has
                os.sched_setaffinity(int(task.name), cores)

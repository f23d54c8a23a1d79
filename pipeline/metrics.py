"""Prometheus metrics of several processes as one: shared through files in a private directory.

prometheus-client decides once, by a variable of the environment, whether its values live in memory
or in files that any process of the group can sum up. Here that is decided where a process begins.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, generate_latest, multiprocess, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_PREFIX = "tidemark-metrics-"
_LOCK = "lock"
_DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class SharedMetrics:
    """The directory in which the processes of one group keep their values. Enter it before they are started."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._lock = -1  # open, and locked, as long as any process of the group lives

    def __enter__(self) -> Self:
        """Make the directory, readable by this user alone, and let all values made from now on live in it."""
        _remove_abandoned(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.environ[_DIRECTORY_VARIABLE] = str(self.path)
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove the directory."""
        self.remove()
        os.close(self._lock)

    def remove(self) -> None:
        """Remove the directory; a process of the group calls this when the one that made it is gone."""
        if self.path is not None:
            shutil.rmtree(self.path, ignore_errors=True)

    def forget(self, pid: int) -> None:
        """Take the gauges of a process that has ended out of the sums; what it counted stays in."""
        if self.path is not None:
            multiprocess.mark_process_dead(pid, str(self.path))  # type: ignore[no-untyped-call]


def _remove_abandoned(parent: Path) -> None:
    """Remove the directories of groups that were killed as a whole, before anyone could."""
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # another user's, in use, or removed at this moment by someone else
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(descriptor)


def exposition(registry: CollectorRegistry, shared: SharedMetrics | None) -> bytes:
    """Return the metrics in Prometheus's text format: of all processes of ``shared``, else those in ``registry``."""
    if shared is None or shared.path is None:
        return generate_latest(registry)
    sums = CollectorRegistry()
    multiprocess.MultiProcessCollector(sums, str(shared.path))  # type: ignore[no-untyped-call]
    return generate_latest(sums)

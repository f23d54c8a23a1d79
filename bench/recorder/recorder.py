"""The recorder: writes down in a worker what it stored and when, and in worker and API how late their event loops woke.

A process of the pipeline makes one by ``PIPELINE_OBSERVER=bench.recorder.recorder:record`` and finds in its environment
what is to be written where (:class:`Places`). Nothing here imports numpy, or more of the bench: the process that is
measured shall not start more slowly for it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from bench.recorder.deliverieslog import DeliveriesLog
from bench.recorder.laglog import LagLog
from pipeline.errors import UsageError
from pipeline.observer import Observer

OBSERVER = "bench.recorder.recorder:record"
WAITS = "worker waits for"
"""What a worker prints that may not join its group yet."""
_PREFIX = "TIDEMARK_RECORDER_"
_POLL_S = 0.02


@dataclass(frozen=True)
class Places:
    """What is written where; empty: it is not. Each is a variable ``TIDEMARK_RECORDER_...`` of the process.

    ``deliveries``: the file of the deliveries log. ``loop_lag``: the beginning of the file of the event loop's lag; a
    dot and the process's id follow. ``join_when``: a worker joins its group only once there is this file.
    """

    deliveries: str = ""
    loop_lag: str = ""
    join_when: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Places:
        """Read them from the environment of a process."""
        return cls(*(environment.get(_variable(field.name), "") for field in fields(cls)))

    def to_environment(self) -> dict[str, str]:
        """Return the variables that make :meth:`read` return the same."""
        return {_variable(field.name): getattr(self, field.name) for field in fields(self)}


def record(role: str) -> Recorder:
    """Make the recorder of a process: what the hook calls.

    Raises:
        UsageError: a file cannot be written.
    """
    return Recorder(Places.read(os.environ), role)


class Recorder(Observer):
    """Writes to the files of one process."""

    def __init__(self, places: Places, role: str) -> None:
        """Open the deliveries log of a worker; that of the loop's lag is each process's own, and opened by it."""
        self._join_when = Path(places.join_when) if places.join_when else None
        self._deliveries = _opened(places.deliveries) if places.deliveries and role == "worker" else None
        self._lag = LagLog(places.loop_lag) if places.loop_lag else None

    async def before_join(self, stopping: Callable[[], bool]) -> None:
        """Wait for the file that lets the worker join, or until it is stopped; say on stdout that it waits."""
        if self._join_when is None:
            return
        sys.stdout.write(f"{WAITS} {self._join_when}\n")
        sys.stdout.flush()
        while not (stopping() or self._join_when.exists()):  # noqa: ASYNC110 - a file sets no event; it is local
            await asyncio.sleep(_POLL_S)

    def assigned(self, partitions: Mapping[str, Sequence[int]]) -> None:
        """Note what the worker reads from now on."""
        if self._deliveries is not None:
            self._deliveries.assignment(time.monotonic_ns(), partitions)

    def stored(
        self, fetched_ns: int, acknowledged_ns: int, identifiers: Sequence[bytes], timestamps_ms: Sequence[int]
    ) -> None:
        """Note what is stored."""
        if self._deliveries is not None:
            self._deliveries.events(fetched_ns, acknowledged_ns, identifiers, timestamps_ms)

    def woke(self, now_ns: int, lag_ns: int) -> None:
        """Note how late the event loop woke."""
        if self._lag is not None:
            self._lag.note(now_ns, lag_ns)

    def close(self) -> None:
        """Close the files."""
        if self._deliveries is not None:
            self._deliveries.close()
        if self._lag is not None:
            self._lag.close()


def _variable(field: str) -> str:
    return f"{_PREFIX}{field}".upper()


def _opened(path: str) -> DeliveriesLog:
    try:
        return DeliveriesLog(Path(path))
    except OSError as error:
        message = f"{_variable('deliveries')}={path!r} cannot be written ({error.strerror}): name another file"
        raise UsageError(message) from error

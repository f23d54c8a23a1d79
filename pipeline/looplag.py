"""How late a process's event loop wakes: whatever kept it busy has kept every request or batch waiting as well.

A task sleeps for a short time and notes how much later than due it woke. Each value goes to a
metric; the worst of every quarter of a second goes to a record log (pipeline/recordlog.py), where
one is asked for, as a block of kind ``WORST``: ``WORST_HEADER`` (``time.monotonic_ns()`` at its
end, the worst lag in ns), no payload. So a reader loses nothing, and has nothing to ask of a loop
that may be late.

Where a loop is blocked for less than the sleep, it may not be seen; a longer block is seen, short
by at most the sleep. uvloop's timers count whole milliseconds: a lag of one says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.recordlog import RecordLogWriter

WORST = 1
WORST_HEADER = struct.Struct("<qq")
METRIC_HELP = "How late the event loop woke, each time that it was to sleep for 20 ms"

_SLEEP_S = 0.02
_NOTE_NS = 250_000_000

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def watching(observe: Callable[[float], object], path: str, setting: str) -> AsyncIterator[None]:
    """Watch the running loop for as long as the block lasts.

    ``observe`` gets each lag in seconds. ``path``, as ``setting`` gave it: what the log is called, a dot
    and this process's id after it; empty for none.

    Raises:
        UsageError: the log cannot be written; names the setting.
    """
    worst_log = _open(path, setting)
    task = asyncio.create_task(_watch(observe, worst_log), name="loop lag")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if worst_log is not None:
            worst_log.close()


async def _watch(observe: Callable[[float], object], worst_log: RecordLogWriter | None) -> None:
    worst_ns, noted_ns = 0, time.monotonic_ns()
    while True:
        due_ns = time.monotonic_ns() + round(_SLEEP_S * 1e9)
        await asyncio.sleep(_SLEEP_S)
        now_ns = time.monotonic_ns()
        lag_ns = max(0, now_ns - due_ns)
        observe(lag_ns / 1e9)
        worst_ns = max(worst_ns, lag_ns)
        if worst_log is not None and now_ns - noted_ns >= _NOTE_NS:
            try:
                worst_log.append(WORST, WORST_HEADER.pack(now_ns, worst_ns), b"")
            except OSError as error:  # what only observes must not end what it observes
                _log.warning("the event loop's lag is no longer recorded: %s", error)
                worst_log = None  # whoever opened it closes it
            worst_ns, noted_ns = 0, now_ns


def _open(path: str, setting: str) -> RecordLogWriter | None:
    if not path:
        return None
    try:
        return RecordLogWriter(Path(f"{path}.{os.getpid()}"))
    except OSError as error:
        raise UsageError(f"{setting}={path!r} cannot be written ({error.strerror}): name another file") from error

"""How late a process's event loop wakes: whatever kept it busy has kept every request or batch waiting as well.

A timer rings twenty times a second, and each time it is noted how much later than due. Each value
goes to a metric; the worst of every quarter of a second goes to a record log
(pipeline/messages/recordlog.py), where one is asked for, as a block of kind ``WORST``: ``WORST_HEADER``
(``time.monotonic_ns()`` at its end, the worst lag in ns), no payload. So a reader loses nothing,
and has nothing to ask of a loop that may be late.

A loop that is blocked for longer than the timer's period is seen for certain, short by at most that
period; a shorter block only if the timer is due in it. More often would tell more, and each time
costs an idle process about a tenth of a millisecond of CPU. uvloop's timers count whole
milliseconds: a lag of one says nothing.
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
from pipeline.messages.recordlog import RecordLogWriter

WORST = 1
WORST_HEADER = struct.Struct("<qq")
METRIC_HELP = "How late the event loop woke, by a timer that rings twenty times a second"
PERIOD_S = 0.05

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
    timer = _Timer(observe, _open(path, setting))
    timer.set()
    try:
        yield
    finally:
        timer.stop()


class _Timer:
    """The timer: set, it rings, notes how late it is, and sets itself again. A callback costs less than a task."""

    def __init__(self, observe: Callable[[float], object], worst_log: RecordLogWriter | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._observe = observe
        self._log = worst_log
        self._worst_ns = 0
        self._noted_ns = time.monotonic_ns()

    def set(self) -> None:
        self._due_ns = time.monotonic_ns() + round(PERIOD_S * 1e9)
        self._handle = self._loop.call_later(PERIOD_S, self._ring)

    def stop(self) -> None:
        self._handle.cancel()
        if self._log is not None:
            self._log.close()

    def _ring(self) -> None:
        now_ns = time.monotonic_ns()
        lag_ns = max(0, now_ns - self._due_ns)
        self._observe(lag_ns / 1e9)
        self._worst_ns = max(self._worst_ns, lag_ns)
        if self._log is not None and now_ns - self._noted_ns >= _NOTE_NS:
            self._note(self._log, now_ns)
        self.set()

    def _note(self, worst_log: RecordLogWriter, now_ns: int) -> None:
        try:
            worst_log.append(WORST, WORST_HEADER.pack(now_ns, self._worst_ns), b"")
        except OSError as error:  # what only observes must not end what it observes
            _log.warning("the event loop's lag is no longer recorded: %s", error)
            worst_log.close()
            self._log = None
        self._worst_ns, self._noted_ns = 0, now_ns


def _open(path: str, setting: str) -> RecordLogWriter | None:
    if not path:
        return None
    try:
        return RecordLogWriter(Path(f"{path}.{os.getpid()}"))
    except OSError as error:
        raise UsageError(f"{setting}={path!r} cannot be written ({error.strerror}): name another file") from error

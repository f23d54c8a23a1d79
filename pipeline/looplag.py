"""How late a process's event loop wakes: whatever kept it busy has kept every request or batch waiting as well.

A timer rings twenty times a second, and each time it is noted how much later than due. Each value goes to a metric, and
to the observer if there is one.

A loop that is blocked for longer than the timer's period is seen for certain, short by at most that
period; a shorter block only if the timer is due in it. More often would tell more, and each time
costs an idle process about a tenth of a millisecond of CPU. uvloop's timers count whole
milliseconds: a lag of one says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from pipeline.observer import Observer

METRIC_HELP = "How late the event loop woke, by a timer that rings twenty times a second"
PERIOD_S = 0.05


@contextlib.asynccontextmanager
async def watching(observe: Callable[[float], object], observer: Observer | None = None) -> AsyncIterator[None]:
    """Watch the running loop for as long as the block lasts. ``observe`` gets each lag in seconds."""
    timer = _Timer(observe, observer)
    timer.set()
    try:
        yield
    finally:
        timer.stop()


class _Timer:
    """The timer: set, it rings, notes how late it is, and sets itself again. A callback costs less than a task."""

    def __init__(self, observe: Callable[[float], object], observer: Observer | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._observe = observe
        self._observer = observer

    def set(self) -> None:
        self._due_ns = time.monotonic_ns() + round(PERIOD_S * 1e9)
        self._handle = self._loop.call_later(PERIOD_S, self._ring)

    def stop(self) -> None:
        self._handle.cancel()

    def _ring(self) -> None:
        now_ns = time.monotonic_ns()
        lag_ns = max(0, now_ns - self._due_ns)
        self._observe(lag_ns / 1e9)
        if self._observer is not None:
            self._observer.woke(now_ns, lag_ns)
        self.set()

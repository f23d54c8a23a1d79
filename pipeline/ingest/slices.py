"""Long work of a request, such as decompressing a large body, in slices, so that the event loop can run between them.

Only one request at a time does long work, so the loop never waits for more than one slice. The others wait in the order
of arrival, for a limited time.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from pipeline.errors import UnavailableError

RETRY_AFTER_S = 1
_SLICE_S = 0.005


class TimeSlices:
    """The long work of one process."""

    def __init__(self, timeout_s: float) -> None:
        """``timeout_s``: how long a request waits for the long work of others."""
        self.timeout_s = timeout_s
        self.lock = asyncio.Lock()

    def work(self) -> Work:
        """Begin work that may become long; a context manager."""
        return Work(self)


class Work:
    """The work of one request. Short work waits for nothing."""

    __slots__ = ("_has_lock", "_since_s", "_slices")

    def __init__(self, slices: TimeSlices) -> None:
        """Made by :meth:`TimeSlices.work`."""
        self._slices = slices
        self._has_lock = False
        self._since_s = 0.0

    def __enter__(self) -> Self:
        """Return the work that may become long."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next request do its long work."""
        if self._has_lock:
            self._slices.lock.release()

    def begin(self) -> None:
        """Begin a slice: from here on the loop waits."""
        self._since_s = time.perf_counter()

    @property
    def is_due(self) -> bool:
        """Whether a slice is over: then :meth:`pause` must be called."""
        return time.perf_counter() - self._since_s > _SLICE_S

    async def pause(self) -> None:
        """Let the event loop run other work.

        Raises:
            UnavailableError: the long work of others did not end within the timeout.
        """
        if self._has_lock:
            await asyncio.sleep(0)
        else:
            try:
                async with asyncio.timeout(self._slices.timeout_s):
                    await self._slices.lock.acquire()
            except TimeoutError as error:
                message = f"other large requests are being read; try again in {RETRY_AFTER_S} s"
                raise UnavailableError(message, RETRY_AFTER_S) from error
            self._has_lock = True
            await asyncio.sleep(0)
        self.begin()

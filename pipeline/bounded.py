"""Wait for a client library in bounded time, even if it hangs or cancels itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiokafka.errors import KafkaError

_T = TypeVar("_T")

_CANCEL_TIMEOUT_S = 1.0


async def bounded(awaitable: Awaitable[_T], timeout_s: float) -> _T:
    """Wait at most ``timeout_s`` for ``awaitable`` and return its result.

    It runs in its own task. ``asyncio.wait_for`` is not enough: if the library awaits one of its own tasks, a timeout
    cancels that task, its CancelledError comes back to us, and we would end as if we had been cancelled.

    Raises:
        TimeoutError: it was not done in time.
        KafkaError: it cancelled itself.
        Exception: what it raised.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise TimeoutError(f"not done within {timeout_s:g} s")
        return result_of(task)
    finally:
        if not task.done():
            await give_up(task)


def result_of(task: asyncio.Future[_T]) -> _T:
    """Return the result of a finished task that we did not cancel, or raise what it raised.

    Raises:
        KafkaError: something inside it was cancelled.
    """
    if task.cancelled():
        raise KafkaError("the client library cancelled its own work")
    return task.result()


async def give_up(task: asyncio.Future[_T], timeout_s: float = _CANCEL_TIMEOUT_S) -> None:
    """Cancel ``task`` and wait a short time for its end; ignore what it raises."""
    task.add_done_callback(_forget)
    task.cancel()
    await asyncio.wait({task}, timeout=timeout_s)


def _forget(task: asyncio.Future[_T]) -> None:
    if not task.cancelled():
        task.exception()  # asyncio warns of exceptions that nobody has looked at

"""What surrounds the repeats of a session: where libraries' words go, and what a signal does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

_Result = TypeVar("_Result")


@contextlib.contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Keep what the libraries have to say in ``bench.log``, and off the display."""
    folder.mkdir(exist_ok=True)
    handler = logging.FileHandler(folder / "bench.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run ``main`` in an event loop of its own; SIGTERM cancels it there, as Ctrl-C does.

    Raises:
        KeyboardInterrupt: SIGTERM or SIGINT ended it; what it holds has been closed.
    """

    async def cancellable() -> _Result:
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[_Result]", asyncio.current_task())
        with _on_sigterm(lambda: loop.call_soon_threadsafe(task.cancel)):
            return await main

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def expect_not_cancelled() -> None:
    """Check that nobody asked the current task to end: an error of the clean-up may have hidden it.

    Raises:
        asyncio.CancelledError: somebody did.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM interrupt the block even within an event loop, which would wait for the block's end.

    What ignores Ctrl-C, as a process in the background does, goes on ignoring it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _on_sigterm(_interrupt) if _is_handled(signal.SIGTERM) else contextlib.nullcontext():
            yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def terminate_like_interrupt() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does: everything is stopped, the bundle stays resumable.

    SIGTERM does not go by way of SIGINT, which a process started in the background ignores.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        with _on_sigterm(_interrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _on_sigterm(act: Callable[[], object]) -> Iterator[None]:
    """Call ``act`` at the first SIGTERM in the block; the clean-up that follows is not interrupted by another."""

    def handle(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        act()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, before)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _is_handled(number: signal.Signals) -> bool:
    return signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL)

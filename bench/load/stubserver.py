"""A server that stands in the API's place, in a process of its own: started, found, and ended in one way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import uvloop

from bench.targets.processes import NICENESS
from pipeline.local.ports import HOST
from pipeline.local.process import ChildProcess

BACKLOG = 1_024
_READY = "listening on "
_READY_S = 30.0
_ROOT = Path(__file__).resolve().parents[2]


def process(name: str, module: str, logs: Path) -> ChildProcess:
    """Return the process ``python -m module``, not started yet, as nice as the system in whose place it stands."""
    return ChildProcess(
        name,
        [sys.executable, "-m", module],
        log_path=logs / f"{name}.log",
        env=dict(os.environ),
        cwd=_ROOT,
        niceness=NICENESS,
    )


def url_of(server: ChildProcess) -> str:
    """Wait until ``server``, just started, listens, and return its URL.

    Raises:
        ProcessFailedError: it ended, or does not listen in time.
    """
    return "http://" + server.wait_for_line(_READY, _READY_S).removeprefix(_READY)


async def answer_until_stopped(port: int) -> None:
    """Say that this process listens on ``port`` of the loopback address; return on SIGTERM."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    sys.stdout.write(f"{_READY}{HOST}:{port}\n")
    sys.stdout.flush()
    await ended.wait()


def run(serve: Callable[[], Coroutine[None, None, None]]) -> None:
    """Serve until SIGTERM."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())

"""The processes of a target: waited for until they are ready, and ended in bounded time; what goes wrong names them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from urllib.error import URLError
from urllib.request import urlopen

from bench.errors import RepeatError
from pipeline.local.process import ChildProcess

# The generator goes first: were it to wait for what it loads, it could not measure how that does. All of the
# system, servers included, is as nice, so that its parts share the machine as they would by themselves.
NICENESS = 10
READY_S = 60.0
STOP_S = 30.0
POLL_S = 0.05


def expect_running(process: ChildProcess, purpose: str, deadline_s: float, within_s: float = READY_S) -> None:
    """Check that ``process`` still runs and has time left, on its way to ``purpose``, as in "did not take events".

    ``deadline_s``: on the monotonic clock, ``within_s`` after it was started.

    Raises:
        RepeatError: it has ended, or the time is over; the message shows its last lines.
    """
    if not process.running():
        raise RepeatError(f"{process.name} ended with exit code {process.returncode}; {process.last_words()}")
    if time.monotonic() > deadline_s:
        raise RepeatError(f"{process.name} did not {purpose} within {within_s:.0f} s; {process.last_words()}")


async def answers(process: ChildProcess, url: str, within_s: float = READY_S) -> None:
    """Wait until ``process``, just started, answers a GET of ``url`` with 200.

    Raises:
        RepeatError: it ended, or did not answer within ``within_s``.
    """
    deadline_s = time.monotonic() + within_s
    while not await asyncio.to_thread(_is_ready, url):
        expect_running(process, "take events", deadline_s, within_s)
        await asyncio.sleep(POLL_S)


def end(processes: Sequence[ChildProcess], grace_s: float = STOP_S) -> list[str]:
    """End processes side by side, since one that leaves a group makes work for the others; kill after ``grace_s``.

    Returns a finding for each that had ended before, or ended badly.
    """
    died = [not each.running() for each in processes]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    crashes = []
    for process, was_dead in zip(processes, died, strict=True):
        code: int | str | None = process.wait(grace_s)
        if code is None:
            process.kill()
            code = f"{process.returncode}, killed after {grace_s:g} s because it did not end on SIGTERM"
        if was_dead or code != 0:
            crashes.append(f"crash: {process.name} ended with exit code {code}, see logs/{process.log_path.name}")
    return crashes


def _is_ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=2.0) as response:  # noqa: S310 - our own address, http
            return bool(response.status == 200)  # noqa: PLR2004 - HTTP OK
    except (URLError, OSError):
        return False

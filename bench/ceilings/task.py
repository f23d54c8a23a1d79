"""The input of the process of one bare loop, and its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import Struct

from bench.ceilings.loops import Loop
from traffic.spec import Traffic


class Task(Struct, frozen=True, kw_only=True):
    """One repeat of one loop. Servers, topics and collection stand in the process's environment.

    ``pids``: by role, the other processes whose CPU is to be read. ``url``: of the null handler, for its loops.
    ``result``: the file to write.
    """

    loop: Loop
    traffic: Traffic
    pids: dict[str, list[int]]
    longest_s: float
    result: str
    url: str = ""

    @property
    def result_path(self) -> Path:
        """Where the answer goes."""
        return Path(self.result)


class Deadline:
    """The moment from which on a loop takes no more events."""

    def __init__(self, longest_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._at_s = self._loop.time() + longest_s

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self._loop.time() >= self._at_s

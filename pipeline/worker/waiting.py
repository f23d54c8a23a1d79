"""Waiting for a part that is away: bounded pauses, and log lines that say for what."""

from __future__ import annotations

import asyncio
import logging
import time

log = logging.getLogger(__name__)

_SAY_AGAIN_S = 10.0


class Waiting:
    """One wait for one part; reused for the next."""

    def __init__(self, part: str, pause_s: float) -> None:
        """``part`` with its address, as a person would name it; ``pause_s`` between two attempts."""
        self._part = part
        self._pause_s = pause_s
        self._since_s = 0.0
        self._said_s = 0.0
        self._attempts = 0

    async def pause(self, cause: BaseException | str) -> None:
        """Say that the part is away and why (not at every attempt), and wait a little."""
        self.note(cause)
        await asyncio.sleep(self._pause_s)

    def note(self, cause: BaseException | str, *, unforeseen: bool = False) -> None:
        """Log that the part is away and why, unless logged a moment ago; ``unforeseen``: with a traceback."""
        now_s = time.monotonic()
        if self._attempts == 0:
            self._since_s = now_s
        if self._attempts == 0 or now_s - self._said_s >= _SAY_AGAIN_S:
            self._said_s = now_s
            away_s = now_s - self._since_s
            text = str(cause) or type(cause).__name__
            trace = cause if unforeseen and isinstance(cause, BaseException) else None
            words = "waiting for %s (for %.0f s so far; every %.1f s): %s"
            log.warning(words, self._part, away_s, self._pause_s, text, exc_info=trace)
        self._attempts += 1

    def over(self) -> None:
        """Say that the part is back, if it was away."""
        if self._attempts:
            log.info("%s is back after %.1f s", self._part, time.monotonic() - self._since_s)
            self._attempts = 0

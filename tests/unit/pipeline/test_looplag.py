"""The event loop's lag: what keeps a loop busy is seen, and an observer is called."""

from __future__ import annotations

import asyncio
import time

from pipeline import looplag
from pipeline.observer import Observer


class Noting(Observer):
    def __init__(self) -> None:
        self.lags_ns: list[int] = []

    def woke(self, now_ns: int, lag_ns: int) -> None:
        assert now_ns <= time.monotonic_ns()
        self.lags_ns.append(lag_ns)


async def test_a_loop_that_is_blocked_is_seen_to_be_late_and_the_observer_gets_the_same() -> None:
    seen: list[float] = []
    observer = Noting()
    async with looplag.watching(seen.append, observer):
        await asyncio.sleep(0.05)
        time.sleep(0.3)  # noqa: ASYNC251 - that is what it is about
        await asyncio.sleep(0.3)
    assert max(seen) >= 0.3 - looplag.PERIOD_S
    assert [lag_ns / 1e9 for lag_ns in observer.lags_ns] == seen


async def test_without_an_observer_the_metric_has_every_lag() -> None:
    seen: list[float] = []
    async with looplag.watching(seen.append):
        await asyncio.sleep(0.3)
    assert seen

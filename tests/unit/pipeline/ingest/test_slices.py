"""Long work: one request at a time does it, and the others wait for a limited time."""

from __future__ import annotations

import asyncio
import time

import pytest

from pipeline.errors import UnavailableError
from pipeline.ingest.slices import TimeSlices


def busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_short_work_waits_for_nobody() -> None:
    slices = TimeSlices(60.0)
    with slices.work() as long, slices.work() as short:
        long.begin()
        busy(0.01)
        await long.pause()
        short.begin()
        assert long.is_due is False
        assert slices.lock.locked()


async def test_long_work_waits_until_the_one_before_has_done_its_own() -> None:
    slices = TimeSlices(60.0)
    order: list[str] = []

    async def work(name: str) -> None:
        with slices.work() as work:
            work.begin()
            for _ in range(3):
                busy(0.01)
                assert work.is_due
                await work.pause()
                order.append(name)

    await asyncio.gather(work("first"), work("second"))
    assert order == ["first"] * 3 + ["second"] * 3


async def test_the_wait_for_a_turn_ends() -> None:
    slices = TimeSlices(0.01)
    with slices.work() as long, slices.work() as waiting:
        await long.pause()
        with pytest.raises(UnavailableError):
            await waiting.pause()
    assert not slices.lock.locked()

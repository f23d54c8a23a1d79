"""Log lines of a wait: what for and why, now and again, and once when it is over."""

from __future__ import annotations

import logging

import pytest

from pipeline.worker.waiting import Waiting


async def test_wait_says_for_what_and_why_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiting = Waiting("MongoDB at localhost:1", 0.001)
    waiting.over()
    for _ in range(5):
        await waiting.pause(TimeoutError())
    waiting.over()
    waiting.over()
    assert len(caplog.messages) == 2
    assert "waiting for MongoDB at localhost:1" in caplog.messages[0]
    assert "TimeoutError" in caplog.messages[0]
    assert "MongoDB at localhost:1 is back after" in caplog.messages[1]

"""The log of a process: what a library repeats is there now and again only."""

from __future__ import annotations

import logging

from pipeline.logs import RepeatFilter


def test_filter_lets_a_library_repeat_itself_only_now_and_again() -> None:
    repeats = RepeatFilter("aiokafka")

    def passes(name: str, text: str) -> bool:
        return repeats.filter(logging.LogRecord(name, logging.ERROR, "", 1, text, (), None))

    assert passes("aiokafka.conn", "connect to %s failed")
    assert not passes("aiokafka", "connect to %s failed")
    assert passes("aiokafka", "another")
    assert passes("pipeline.worker", "connect to %s failed")
    assert passes("pipeline.worker", "connect to %s failed")

"""What a signal does while servers are started within a session's event loop."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from bench.run import session


def test_ctrl_c_reaches_a_block_that_the_event_loop_waits_for() -> None:
    went_on: list[str] = []

    async def start_servers() -> None:
        with session.interruptible():
            signal.raise_signal(signal.SIGINT)
            went_on.append("as if nothing had been pressed")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(start_servers())
    assert went_on == []


def test_after_the_block_the_event_loop_answers_again() -> None:
    async def handlers() -> bool:
        before = signal.getsignal(signal.SIGINT)
        with session.interruptible():
            pass
        return signal.getsignal(signal.SIGINT) is before

    assert asyncio.run(handlers())


def test_a_process_in_the_background_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with session.interruptible():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_has_no_signals_to_change() -> None:
    failed: list[BaseException] = []

    def block() -> None:
        try:
            with session.interruptible():
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=block, daemon=True)
    thread.start()
    thread.join()
    assert failed == []

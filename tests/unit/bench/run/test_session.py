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


@pytest.mark.parametrize("foreground", [True, False], ids=["in a terminal", "in the background"])
def test_sigterm_cancels_the_event_loop_s_work_which_cleans_up_and_then_interrupts(foreground) -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            steps.append("no line is cut in two")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    before = signal.signal(signal.SIGINT, signal.default_int_handler if foreground else signal.SIG_IGN)
    try:
        with session.terminate_like_interrupt(), pytest.raises(KeyboardInterrupt):
            session.run(work())
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == ["no line is cut in two", "cleaned up"]


def test_a_second_sigterm_does_not_interrupt_the_clean_up() -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    before = signal.getsignal(signal.SIGTERM)
    with session.terminate_like_interrupt(), pytest.raises(KeyboardInterrupt):
        session.run(work())
    assert steps == ["cleaned up"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_reaches_a_block_that_the_event_loop_waits_for() -> None:
    went_on: list[str] = []

    async def start_servers() -> None:
        with session.interruptible():
            signal.raise_signal(signal.SIGTERM)
            went_on.append("as if nothing had been sent")

    with session.terminate_like_interrupt(), pytest.raises(KeyboardInterrupt):
        session.run(start_servers())
    assert went_on == []


def test_an_error_of_the_clean_up_does_not_hide_that_the_session_was_ended() -> None:
    went_on: list[str] = []

    async def break_while_cleaning_up() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            raise RuntimeError("broken")

    async def work() -> None:
        try:
            await break_while_cleaning_up()
        except RuntimeError:
            session.expect_not_cancelled()
        went_on.append("with the next repeat")

    with session.terminate_like_interrupt(), pytest.raises(KeyboardInterrupt):
        session.run(work())
    assert went_on == []


def test_a_session_that_got_no_signal_continues() -> None:
    async def work() -> str:
        session.expect_not_cancelled()
        return "done"

    assert session.run(work()) == "done"

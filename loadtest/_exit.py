"""The end of this process: it always ends, with correct counts after Ctrl-C, and with an exit code."""

from __future__ import annotations

import atexit
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
import psutil
from locust import log
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest._conductor import Conductor
from loadtest._listen import listen
from pipeline.errors import TidemarkError

# How long the processes of --processes may take to end when the test is over.
_CHILDREN_S = 10.0
# How long Locust may take to start a test once all processes are there.
_START_S = 30.0
_POLL_S = 0.1


def interrupt_between_greenlets(note: Callable[[], None] = lambda: None) -> None:
    """Raise Ctrl-C's exception between two greenlets, after a call of ``note``.

    Otherwise the exception is raised anywhere: in the middle of counting a request, or in a greenlet of Locust's that
    ignores it.
    """

    def interrupt() -> None:
        note()
        raise KeyboardInterrupt

    gevent.signal_handler(signal.SIGINT, interrupt)


def choose_exit_code(environment: Environment, conductor: Conductor) -> None:
    """Make the exit code follow from the final counts of all processes, and wait for them."""

    def note() -> None:
        conductor.interrupted = True

    def choose(**_: Any) -> None:
        conductor.end()
        options = environment.parsed_options
        if conductor.error or log.unhandled_greenlet_exception:
            environment.process_exit_code = TidemarkError.exit_code
        elif conductor.options is not None:
            # With a ledger, the failures are in it. A process's own statistics may be behind the counts.
            failed = conductor.counts.failures and not conductor.options.ledger_dir
            environment.process_exit_code = options.exit_code_on_error if failed and options is not None else 0

    interrupt_between_greenlets(note)
    gevent.signal_handler(signal.SIGTERM, note)
    listen(environment.events.quitting, choose)


def expect_processes(conductor: Conductor, runner: MasterRunner, expected: int, wait_s: float) -> None:
    """End this process if the others do not connect within ``wait_s``, so that no test could start."""

    def watch() -> None:
        gevent.sleep(wait_s)
        if len(runner.clients.ready) >= expected:
            gevent.sleep(_START_S)
        if conductor.tests:
            return
        conductor.fail(
            f"{expected} processes were expected (--expect-workers) and {runner.worker_count} were connected after "
            f"{wait_s:g} s (--expect-workers-max-wait), so no test was started: NOT WHOLE. Start the others earlier, "
            "or expect fewer"
        )
        runner.quit()
        sys.exit(TidemarkError.exit_code)

    gevent.spawn(watch)


def end_children() -> None:
    """At exit, kill child processes (--processes) that do not end: Locust would wait for ever."""

    def kill() -> None:
        until = time.monotonic() + _CHILDREN_S
        while (alive := _alive()) and time.monotonic() < until:
            time.sleep(_POLL_S)
        for child in alive:
            child.kill()

    # After Locust's own, so it runs before it.
    atexit.register(kill)


def _alive() -> list[psutil.Process]:
    """Children that run or are stopped. Locust itself waits for those that have ended."""
    found = []
    for child in psutil.Process().children():
        try:
            if child.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found

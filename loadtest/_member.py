"""One process that sends: gets its part from the conductor, runs its generator, says how it ended."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.rpc import Message
from locust.runners import WorkerRunner

from loadtest import _clock, _messages
from loadtest._background import in_thread
from loadtest._generator import Generator
from loadtest._listen import listen
from loadtest._messages import Assignment, Begin, Ended, Progress, Stop
from loadtest._statistics import Statistics
from loadtest._transport import Transport
from pipeline.errors import TidemarkError
from traffic import ledger
from traffic.counts import Counts
from traffic.source import source_of

FLUSH_S = 0.25
# How long answers are waited for after an early stop.
STOP_WAIT_S = 2.0
# How long sending the last words may take.
_SAY_S = 2.0
# So many new objects before the garbage collector looks: it would hold up requests that are due.
_GC_THRESHOLD = 100_000

_log = logging.getLogger(__name__)


class Member:
    """Takes part in one test after the other."""

    def __init__(self, environment: Environment) -> None:
        """Listen to the conductor; Locust's runner must be there."""
        self._environment = environment
        self._clock = _clock.SystemClock()
        self._part: _Part | None = None
        self._assigned = Event()
        runner = environment.runner
        if runner is None:
            raise TypeError("a member needs an environment with a runner")
        self._runner = runner
        runner.register_message(_messages.ASSIGN, self._on_assign)
        runner.register_message(_messages.BEGIN, self._on_begin)
        runner.register_message(_messages.STOP, self._on_stop, concurrent=True)
        listen(environment.events.test_stopping, self._on_test_stopping)
        # The last listener runs first: this one runs before Locust's own, which disconnects from the master.
        listen(environment.events.quitting, self._on_test_stopping)
        listen(environment.events.report_to_master, self._on_report)

    def progress(self) -> Progress:
        """Return the counts of this process so far in the newest test."""
        part, at_ns = self._part, self._clock.monotonic_ns()
        if part is None:
            return Progress(0, at_ns, Counts())
        return Progress(part.assignment.test, at_ns, part.generator.so_far() if part.generator else Counts())

    def work(self) -> None:
        """Be one of the senders, until the test is over."""
        self._assigned.wait()
        part = self._part
        if part is not None and part.generator is not None and part.transport is not None:
            part.generator.work(part.transport.send)

    def _on_assign(self, environment: Environment, msg: Message) -> None:  # noqa: ARG002 - Locust passes both by name
        assignment = _messages.unpack(msg.data, Assignment)
        if self._part is not None:
            self._part.end()
        self._part = _Part(assignment, self._environment, self._clock, self._send)
        self._assigned.set()

    def _on_begin(self, environment: Environment, msg: Message) -> None:  # noqa: ARG002 - Locust passes both by name
        begin = _messages.unpack(msg.data, Begin)
        if self._part is not None and self._part.assignment.test == begin.test:
            self._part.begin(begin)

    def _on_stop(self, environment: Environment, msg: Message) -> None:  # noqa: ARG002 - Locust passes both by name
        stop = _messages.unpack(msg.data, Stop)
        if self._part is not None and self._part.assignment.test == stop.test:
            self._part.stop()

    def _on_test_stopping(self, environment: Environment) -> None:  # noqa: ARG002 - Locust passes it by name
        """Locust stops the senders now, whoever asked for it."""
        self._assigned.clear()
        if self._part is not None:
            self._part.stop()

    def _on_report(self, client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG002 - Locust passes both by name
        data[_messages.COUNTS] = _messages.pack(self.progress())

    def _send(self, ended: Ended) -> None:
        if isinstance(self._runner, WorkerRunner):
            # The master has all of the statistics when it hears that this process has ended.
            data: dict[str, Any] = {}
            reported: Any = self._environment.events.report_to_master  # it has no types
            reported.fire(client_id=self._runner.client_id, data=data)
            self._runner.send_message("stats", data)
        self._runner.send_message(_messages.ENDED, _messages.pack(ended))


class _Part:
    """This process's part of one test."""

    def __init__(
        self, assignment: Assignment, environment: Environment, clock: _clock.Clock, send: Callable[[Ended], None]
    ) -> None:
        self.assignment = assignment
        self.generator: Generator | None = None
        self.transport: Transport | None = None
        self._clock = clock
        self._send = send
        self._ended = False
        self._stopped = False
        self._said = Event()
        options = assignment.options
        try:
            self.transport = Transport(assignment.host, options.request_timeout_s, options.write_key)
            self.generator = Generator(
                options.spec,
                assignment.index,
                assignment.count,
                # Not within a greenlet: a large file to replay takes long.
                in_thread(lambda: source_of(options.spec, assignment.index, assignment.count)),
                clock,
                Statistics(environment),
                options.unsent_after_s,
            )
        except TidemarkError as error:
            self.end(str(error))
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 50, 100)

    def begin(self, begin: Begin) -> None:
        """Start at the epoch that all have."""
        if self.generator is None or self._ended:
            return
        folder = self.assignment.options.ledger_dir
        path = ledger.path_of(Path(folder), self.assignment.index) if folder else None
        try:
            self.generator.begin(_clock.on_this_host(begin.epoch, self._clock), path, os.getpid())
        except (TidemarkError, OSError) as error:
            self.end(f"the ledger cannot be written: {error}")
            return
        gevent.spawn(self._watch, self.generator)

    def stop(self) -> None:
        """Send what is due by now and no more, wait a little for answers, end."""
        if self.generator is not None and not self._ended:
            self._stopped = self._stopped or not self.generator.done()
            self.generator.stop()
            until_ns = self._clock.monotonic_ns() + int(STOP_WAIT_S * _clock.NS_PER_S)
            while not self.generator.settled() and self._clock.monotonic_ns() < until_ns:
                gevent.sleep(0.01)
            self.end()
        self._said.wait(_SAY_S)  # another greenlet may be sending it now

    def end(self, error: str = "") -> None:
        """Close the ledger and inform the conductor; a second time does nothing."""
        if self._ended:
            return
        self._ended = True
        counts = Counts()
        if self.generator is not None:
            try:
                self.generator.finish()
            except OSError as problem:
                error = error or f"the ledger cannot be written: {problem}"
            counts = self.generator.counts
        if self.transport is not None:
            self.transport.close()
        if error:
            _log.error("%s", error)
        self._send(Ended(self.assignment.test, self.assignment.index, counts, error, self._stopped))
        self._said.set()

    def _watch(self, generator: Generator) -> None:
        """Keep the ledger's file up to date; end when there is nothing left to send or to wait for."""
        while not generator.done() and not self._ended:
            gevent.sleep(FLUSH_S)
            try:
                generator.flush()
            except OSError as error:
                self.end(f"the ledger cannot be written: {error}")
        self.end()

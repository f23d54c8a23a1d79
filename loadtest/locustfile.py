"""Tidemark's load test for Locust: ``locust -f loadtest``.

Whatever the scenario, Locust runs users of one class, the senders: what they send and when lies in the
schedule, so that how many there are changes only how much can be in flight.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any, ClassVar

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest import _options, _summary
from loadtest._conductor import Conductor
from loadtest._listen import listen
from loadtest._member import Member
from loadtest._turns import ask_for_short_turns
from pipeline.errors import TidemarkError

# Locust warns where more users a second than this are started.
_SPAWN_RATE = 100
_IDLE_S = 1.0


class Sender(User):
    """Sends requests of the schedule, one at a time."""

    host = _options.DEFAULT_HOST
    member: ClassVar[Member | None] = None

    @task
    def send(self) -> None:
        """Send until the test is over; then idle until Locust stops its users."""
        if self.member is not None:
            self.member.work()
        gevent.sleep(_IDLE_S)


def _add_options(parser: ArgumentParser) -> None:
    _options.register(parser)


def _compose(environment: Environment, **_: Any) -> None:
    """Build this process's parts: the conductor, or a member, or both where there is only one process."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner):
        ask_for_short_turns()
        Sender.member = Member(environment)
    if isinstance(runner, WorkerRunner):
        # Its conductor tells what happened, in the statistics too: rejected events are no error of this process.
        environment.process_exit_code = 0
        return
    _apply_options(environment)
    conductor = Conductor(environment, _options.DEFAULT_HOST)

    def _choose_exit_code(**_: Any) -> None:
        if conductor.error:
            environment.process_exit_code = TidemarkError.exit_code
        elif conductor.options is not None and conductor.options.ledger_dir:
            # Who asked for the ledger judges by it; Locust's own code would be 1 for a single rejected event.
            environment.process_exit_code = 0

    def _summarise(**_: Any) -> None:
        if conductor.options is not None:
            sys.stdout.write(_summary.text(conductor.options, conductor.counts, conductor.error))
            sys.stdout.flush()

    # Without UI there is one test, and its summary stands below Locust's last tables.
    headless = environment.parsed_options is not None and environment.parsed_options.headless

    listen(environment.events.quitting, _choose_exit_code)
    listen(environment.events.quit if headless else environment.events.test_stop, _summarise)


def _apply_options(environment: Environment) -> None:
    """Check the options before anything starts, and give Locust's own what follows from them."""
    options = environment.parsed_options
    if options is None:
        return
    try:
        senders = _options.read(options).senders
    except TidemarkError as error:
        sys.stderr.write(f"locust: error: {error}\n")
        sys.exit(error.exit_code)
    if options.num_users is None:
        options.num_users = senders * (options.expect_workers if options.master else 1)
    if options.spawn_rate is None:
        options.spawn_rate = _SPAWN_RATE


listen(events.init_command_line_parser, _add_options)
listen(events.init, _compose)

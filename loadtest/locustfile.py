"""Tidemark's load test for Locust: ``locust -f loadtest``.

Whatever the scenario, Locust runs users of one class, the senders: what they send and when lies in the
schedule, so that how many there are changes only how much can be in flight.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any, ClassVar

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest import _exit, _locust, _options, _results, _summary
from loadtest._conductor import Conductor
from loadtest._listen import listen
from loadtest._member import Member
from loadtest._page import LoadPage
from pipeline.errors import TidemarkError
from traffic.timeslices import ask_for_short_turns

_IDLE_S = 1.0
# Not empty once the command line has been checked: Locust parses it again for each view of its page.
_checked: list[bool] = []


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
    _locust.adapt(parser)
    parse: Any = parser.parse_args  # Locust's takes more than argparse's

    def parse_and_check(*arguments: Any, **named: Any) -> Namespace:
        """Check the command line before Locust starts processes with it."""
        options: Namespace = parse(*arguments, **named)
        if not _checked:
            _checked.append(True)
            try:
                _locust.check(options)
            except TidemarkError as error:
                parser.exit(error.exit_code, f"{parser.prog}: error: {error}\n")
        return options

    vars(parser)["parse_args"] = parse_and_check


def _compose(environment: Environment, **_: Any) -> None:
    """Build this process's parts: the conductor, or a member, or both where there is only one process."""
    runner, options = environment.runner, environment.parsed_options
    if options is None:
        raise TypeError("a load test needs an environment with options")
    if not isinstance(runner, MasterRunner):
        ask_for_short_turns()
        Sender.member = Member(environment)
    if isinstance(runner, WorkerRunner):
        # Its conductor reports what happened, in the statistics too: rejected events are no error of this process.
        environment.process_exit_code = 0
        options.json, options.json_file = False, None  # the master writes them for the whole test
        _exit.interrupt_between_greenlets()
        return
    conductor = Conductor(environment, _options.DEFAULT_HOST)
    _exit.choose_exit_code(environment, conductor)
    _results.whole_html(environment)
    if isinstance(runner, MasterRunner) and (options.headless or options.autostart):
        _exit.expect_processes(conductor, runner, options.expect_workers, options.expect_workers_max_wait)
        options.expect_workers_max_wait = 0  # Locust would end with exit code 1
    if options.processes:
        _exit.end_children()
    if environment.web_ui is not None:
        LoadPage(environment, conductor, Sender.member)

    def _summarise(**_: Any) -> None:
        if conductor.options is not None:
            stream = sys.stderr if options.json else sys.stdout
            stream.write(_summary.text(conductor.options, conductor.counts, conductor.error))
            stream.flush()

    # Without UI there is one test, and its summary stands below Locust's last tables.
    listen(environment.events.quit if options.headless else environment.events.test_stop, _summarise)


_results.whole_results()
listen(events.init_command_line_parser, _add_options)
listen(events.init, _compose)

"""The one process that starts a test, assigns the others their part, and knows when all have ended.

It is Locust's master, or the only process there is. Who takes part, as which of how many, is fixed when a
test starts and never changes within it: a process that joins later waits for the next test.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import msgspec
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner

from loadtest import _clock, _messages, _options
from loadtest._background import in_thread
from loadtest._heard import Heard, Rates
from loadtest._listen import listen
from loadtest._member import STOP_WAIT_S
from loadtest._messages import Assignment, Begin, Ended, Progress, Stop
from pipeline.errors import TidemarkError
from traffic.counts import Counts
from traffic.identity import MAX_RUN

# Long enough for members on this host to hear of it, which is within milliseconds where nothing is overloaded.
EPOCH_AHEAD_S = 0.5
# How long to wait for members' last words after an early stop, and after all should long have ended.
_LAST_WORDS_S = STOP_WAIT_S + 2.0
_GRACE_S = 10.0
# How long a member may be missing, on top of the few seconds until Locust calls it so.
_SILENCE_S = 3.0
# How long starting the senders may take, on top of what their number and the spawn rate ask for.
_SPAWN_SLACK_S = 60.0
_POLL_S = 0.1
_GATE_POLL_S = 0.02
LOCAL = "local"
"""The only member's name where there is one process."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Test:
    """One test: its members by Locust's name for them, and what those that ended said.

    ``cut``: members that were stopped before the end of their schedule although the conductor did not ask for it.
    """

    number: int
    options: _options.Options
    members: dict[str, int]
    begun: bool = False
    stopping: bool = False
    cut: set[int] = field(default_factory=set)
    ended: dict[int, Ended] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    seen_ns: dict[int, int] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)

    def waiting_for(self) -> set[int]:
        return set(self.members.values()) - self.ended.keys() - self.gone


class Conductor:
    """Starts and ends tests, and adds up what was counted."""

    def __init__(self, environment: Environment, host: str) -> None:
        """Listen to Locust's events and to the members; ``host`` is used where the user names none."""
        runner = environment.runner
        if runner is None:
            raise TypeError("a conductor needs an environment with a runner")
        self._environment = environment
        self._runner = runner
        self._host = host
        self._clock = _clock.SystemClock()
        self._tests = 0
        self._test: _Test | None = None
        self._quits = False
        self.interrupted = False
        self.error = ""
        runner.register_message(_messages.ENDED, self._on_ended)
        listen(environment.events.test_start, self._on_test_start)
        listen(environment.events.spawning_complete, self._on_spawning_complete)
        listen(environment.events.test_stopping, self._on_test_stopping)
        listen(environment.events.test_stop, self._on_test_stop)
        listen(environment.events.worker_report, self._on_worker_report)

    @property
    def tests(self) -> int:
        """How many tests were started so far."""
        return self._tests

    @property
    def counts(self) -> Counts:
        """The counts of the newest test over all processes; for a process that still runs, its last report."""
        total = Counts()
        if self._test is not None:
            for index in self._test.members.values():
                ended, heard = self._test.ended.get(index), self._test.heard.newest(index)
                if ended is not None:
                    total.include(ended.counts)
                elif heard is not None:
                    total.include(heard)
        return total

    @property
    def rates(self) -> Rates:
        """Rates of events offered and accepted, and of requests answered: now, or at the end of the test."""
        if self._test is None:
            return Rates()
        return self._test.heard.rates(None if self.over else self._clock.monotonic_ns())

    @property
    def over(self) -> bool:
        """Whether the newest test has ended, or there was none."""
        return self._test is None or not self._test.waiting_for()

    @property
    def options(self) -> _options.Options | None:
        """The options of the last test."""
        return self._test.options if self._test else None

    def end(self) -> None:
        """Stop the members of the running test, collect their counts, and judge the test."""
        self._on_test_stopping(self._environment)
        self._judge()

    def fail(self, error: str) -> None:
        """Record why the test is not whole; the first such error stays."""
        self.error = self.error or error
        _log.error("%s", error)

    def _on_test_start(self, environment: Environment) -> None:
        self._test, self.error = None, ""
        given = environment.parsed_options
        if given is None:
            raise TypeError("a conductor needs an environment with options")
        try:
            # Not within a greenlet: a large file to replay takes long.
            options = in_thread(lambda: _options.read(given, new_ledger=not self._tests))
        except TidemarkError as error:
            self.fail(str(error))  # and the test ends as soon as Locust has started it
            return
        self._tests += 1
        members = self._members()
        self._test = _Test(self._tests, _numbered(options, self._tests), members)
        host = environment.host or self._host
        for client, index in members.items():
            assignment = Assignment(self._tests, self._test.options, index, len(members), host)
            self._runner.send_message(_messages.ASSIGN, _messages.pack(assignment), client)
        spawning_s = given.num_users / given.spawn_rate if given.num_users and given.spawn_rate else 0.0
        gevent.spawn(self._expect_senders, self._test, _SPAWN_SLACK_S + spawning_s)

    def _on_spawning_complete(self, user_count: int) -> None:
        test = self._test
        if test is None:
            gevent.spawn(self._end)
            return
        if test.begun:
            return
        test.begun = True
        wanted = test.options.senders * len(test.members)
        if user_count < wanted:
            _log.info("%d senders for %d processes; --senders asks for %d", user_count, len(test.members), wanted)
        gevent.spawn(self._begin, test)

    def _on_ended(self, environment: Environment, msg: Message) -> None:  # noqa: ARG002 - Locust passes both by name
        ended = _messages.unpack(msg.data, Ended)
        if self._test is None or ended.test != self._test.number:
            return
        self._test.ended[ended.index] = ended
        if ended.error:
            self.fail(f"process {ended.index}: {ended.error}")
        if ended.stopped and not self._test.stopping and isinstance(self._runner, MasterRunner):
            self._test.cut.add(ended.index)

    def note(self, client: str, progress: Progress) -> None:
        """Keep the counts that ``client`` (Locust's name) has reported so far."""
        test = self._test
        if test is not None and progress.test == test.number and client in test.members:
            test.heard.note(test.members[client], progress, self._clock.monotonic_ns())

    def _on_worker_report(self, client_id: str, data: dict[str, Any]) -> None:
        if _messages.COUNTS in data:
            self.note(client_id, _messages.unpack(data[_messages.COUNTS], Progress))

    def _on_test_stopping(self, environment: Environment) -> None:  # noqa: ARG002 - Locust passes it by name
        """Have all members stop, and wait for what they counted."""
        test = self._test
        if test is None or test.stopping:
            return
        test.stopping = True
        if not test.waiting_for():
            return
        if isinstance(self._runner, MasterRunner) and not self._runner.worker_count:
            self.fail("no process reports any more, so the test ended early")
        self._send_all(test, _messages.STOP, Stop(test.number))
        self._wait(test, _LAST_WORDS_S)

    def _on_test_stop(self, environment: Environment) -> None:
        """At the end of a test, quit if nobody can start another one, or if asked to."""
        self._judge()
        options = environment.parsed_options
        if options is None or self._quits:
            return
        if options.headless:
            gevent.spawn(self._runner.quit)
        elif options.autostart and options.autoquit >= 0:
            gevent.spawn_later(options.autoquit, self._leave)

    def _judge(self) -> None:
        test = self._test
        if test is not None and test.cut and not self.interrupted:
            cut = ", ".join(str(index) for index in sorted(test.cut))
            test.cut.clear()
            self.fail(f"process {cut} was stopped before the end of the test: the rest of its load was not offered")

    def _leave(self) -> None:
        self._quits = True
        self._runner.quit()
        if self._environment.web_ui is not None:
            web_ui: Any = self._environment.web_ui  # it has no types
            web_ui.stop()

    def _expect_senders(self, test: _Test, bound_s: float) -> None:
        gevent.sleep(bound_s)
        if test is self._test and not test.begun and not test.stopping:
            self.fail(f"the senders were not started within {bound_s:.0f} s, and nothing was sent")
            self._end()

    def _begin(self, test: _Test) -> None:
        """Have all members begin together, as soon as they may; then watch them."""
        gate = test.options.begin_when_path
        while gate and not Path(gate).exists():
            if test is not self._test or test.stopping:
                return
            gevent.sleep(_GATE_POLL_S)
        epoch = _clock.epoch_in(self._clock, int(EPOCH_AHEAD_S * _clock.NS_PER_S))
        self._send_all(test, _messages.BEGIN, Begin(test.number, epoch))
        self._watch(test)

    def _watch(self, test: _Test) -> None:
        """End the test when all members have ended, or should have long ago."""
        options = test.options
        bound_s = None
        if options.spec.duration_s:
            slack_s = EPOCH_AHEAD_S + options.unsent_after_s + 2 * options.request_timeout_s + _GRACE_S
            bound_s = options.spec.duration_s + slack_s
        self._wait(test, bound_s)
        if test is self._test and not test.stopping:
            self._end()

    def _wait(self, test: _Test, bound_s: float | None) -> None:
        """Wait until every member has ended or is gone; one that does neither in time counts as gone."""
        began_ns = self._clock.monotonic_ns()
        while test is self._test and test.waiting_for():
            self._note_gone(test)
            if bound_s is not None and self._clock.monotonic_ns() - began_ns > bound_s * _clock.NS_PER_S:
                for index in test.waiting_for():
                    test.gone.add(index)
                    self.fail(f"process {index} did not end in time: its part is not in the counts")
                return
            gevent.sleep(_POLL_S)

    def _note_gone(self, test: _Test) -> None:
        if not isinstance(self._runner, MasterRunner):
            return
        now_ns = self._clock.monotonic_ns()
        missing = {client.id for client in self._runner.clients.missing}
        for client, index in test.members.items():
            if client in self._runner.clients and client not in missing:
                test.seen_ns[index] = now_ns
            # Silent for a moment on a busy host is not dead: Locust takes one back that is heard of again.
            silent_ns = now_ns - test.seen_ns.setdefault(index, now_ns)
            if silent_ns > _SILENCE_S * _clock.NS_PER_S and index in test.waiting_for():
                test.gone.add(index)
                self.fail(f"process {index} ({client}) is gone: its part is not in the counts")

    def _members(self) -> dict[str, int]:
        """Who takes part, by Locust's name, and as which."""
        if not isinstance(self._runner, MasterRunner):
            return {LOCAL: 0}
        clients = self._runner.clients
        active = [client.id for client in clients.ready + clients.running + clients.spawning]
        return {client: index for index, client in enumerate(sorted(active, key=self._runner.get_worker_index))}

    def _send_all(self, test: _Test, kind: str, message: msgspec.Struct) -> None:
        for client in test.members:
            self._runner.send_message(kind, _messages.pack(message), client)

    def _end(self) -> None:
        options = self._environment.parsed_options
        if options is not None and options.headless:
            self._quits = True
            self._runner.quit()
        else:
            self._runner.stop()


def _numbered(options: _options.Options, test: int) -> _options.Options:
    """The options of test ``test`` of this process: every one has a run number and a ledger of its own."""
    if test == 1:
        return options
    spec = msgspec.structs.replace(options.spec, run=(options.spec.run + test - 1) % (MAX_RUN + 1))
    folder = f"{options.ledger_dir}/test-{test}" if options.ledger_dir else ""
    return msgspec.structs.replace(options, spec=spec, ledger_dir=folder)

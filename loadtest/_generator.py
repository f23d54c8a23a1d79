"""The generator of one process: takes requests from the schedule, has them sent when they are due, keeps count.

Its senders (Locust's users) call :meth:`Generator.work`; each takes the next request in order, makes its
body, sleeps until it is due and sends it. When all are busy, a request goes out late, and its response time
still counts from the intended moment. Nothing is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Protocol

import msgspec
from gevent.event import Event

from loadtest._clock import NS_PER_MS, NS_PER_S, Clock, Epoch
from traffic import schedule
from traffic.answer import Answer, failure_of, outcomes_of
from traffic.counts import Counts
from traffic.ledger import NO_TIME, LedgerHead, LedgerWriter, Outcome
from traffic.payload import BATCH_PATH, SINGLE_PATH, Payload, Source
from traffic.spec import LoadSpec

Send = Callable[[Payload], Answer]


@dataclass(slots=True)
class Request:
    """One request on its way; times in nanoseconds from the epoch."""

    first: int
    events: int
    intended_ns: int
    batch: bool
    sent_ns: int = NO_TIME
    name: str = ""

    def called(self) -> str:
        """Its name in statistics, even before its contents are made."""
        return self.name or (BATCH_PATH if self.batch else SINGLE_PATH)


class Report(Protocol):
    """Takes the result of each request, for statistics."""

    def answered(
        self, name: str, response_ms: float, service_ms: float, content_bytes: int, failure: str | None
    ) -> None:
        """A request was sent; ``failure`` says in what way it failed, if it did."""
        ...  # pragma: no cover - a protocol's body never runs

    def unsent(self, name: str, waited_ms: float) -> None:
        """A request was given up ``waited_ms`` after its intended moment, and not sent."""
        ...  # pragma: no cover - a protocol's body never runs


class Generator:
    """One process's part of one test, from its assignment to its last answer."""

    def __init__(
        self,
        spec: LoadSpec,
        index: int,
        count: int,
        source: Source,
        clock: Clock,
        report: Report,
        unsent_after_s: float,
    ) -> None:
        """``unsent_after_s``: how late a request may go out; one that is later is not sent at all."""
        self._spec, self._index, self._count = spec, index, count
        self._source, self._clock, self._report = source, clock, report
        self._unsent_after_ns = int(unsent_after_s * NS_PER_S)
        self._upcoming = _Upcoming(spec, index, count)
        self._open: dict[int, Request] = {}
        self._epoch = Epoch(0, 0, "")
        self._begun = Event()
        self._ledger: LedgerWriter | None = None
        self._stopped_ns: float = inf
        self._finished = False
        self.counts = Counts()

    def begin(self, epoch: Epoch, ledger_path: Path | None, pid: int) -> None:
        """Let the senders start at ``epoch``; raises UsageError where there is a ledger already."""
        if ledger_path is not None:
            ledger_path.parent.mkdir(parents=True, exist_ok=True)
            head = LedgerHead(self._spec, self._index, self._count, epoch.monotonic_ns, epoch.unix_ns, pid)
            self._ledger = LedgerWriter(ledger_path, head)
        self._epoch = epoch
        self._begun.set()

    def so_far(self) -> Counts:
        """Return the counts now; requests that still wait for their intended moment do not count as offered."""
        now_ns = self._now_ns()
        ahead = sum(request.events for request in self._open.values() if request.intended_ns > now_ns)
        return msgspec.structs.replace(self.counts, offered=self.counts.offered - ahead)

    def work(self, send: Send) -> None:
        """Send what is due, with one sender; returns when nothing is left or the test was stopped."""
        self._begun.wait()
        while (request := self._take()) is not None:
            self._serve(request, send)

    def done(self) -> bool:
        """Whether the schedule is over, every request has its outcome and the duration has passed."""
        over = self._upcoming.exhausted and not self._open
        return over and self._now_ns() >= self._spec.duration_s * NS_PER_S

    def stop(self) -> None:
        """End the schedule now: what is due after this moment was never offered, what was due before still goes out."""
        self._stopped_ns = min(self._stopped_ns, self._now_ns())

    def settled(self) -> bool:
        """Whether all that was offered has its outcome; after a stop this comes soon, if the server answers."""
        if not self._begun.is_set() or self._finished:
            return True
        waiting = any(request.intended_ns <= self._stopped_ns for request in self._open.values())
        return not waiting and not self._upcoming.has(self._stopped_ns)

    def flush(self) -> None:
        """Put what is known so far into the ledger's file."""
        if self._ledger is not None and not self._finished:
            self._ledger.flush()

    def finish(self) -> None:
        """Settle all that is open, close the ledger; answers that come later count for nothing."""
        if self._finished:
            return
        if self._begun.is_set():
            for request in list(self._open.values()):
                self._settle_unanswered(request)
            while (rest := self._upcoming.take(self._stopped_ns)) is not None:
                self.counts.offered += rest.events
                self._leave_unsent(rest)
        self._finished = True
        if self._ledger is not None:
            self._ledger.close(self.counts.offered, None if self._stopped_ns == inf else int(self._stopped_ns))

    def _now_ns(self) -> int:
        return self._clock.monotonic_ns() - self._epoch.monotonic_ns

    def _take(self) -> Request | None:
        if self._finished:
            return None
        request = self._upcoming.take(self._stopped_ns)
        if request is not None:
            self._open[request.first] = request
            self.counts.offered += request.events
        return request

    def _serve(self, request: Request, send: Send) -> None:
        if self._give_up(request):
            return
        unix_ms = (self._epoch.unix_ns + request.intended_ns) // NS_PER_MS
        payload = self._source.payload(request.first, request.events, unix_ms, batch=request.batch)
        self._clock.sleep_until(self._epoch.monotonic_ns + request.intended_ns)
        if self._finished or request.intended_ns > self._stopped_ns or self._give_up(request):
            return
        request.name, request.sent_ns = payload.name, self._now_ns()
        self.counts.note_delay(request.sent_ns - request.intended_ns)
        answer = send(payload)
        answered_ns = self._now_ns()
        if not self._finished:
            self._settle(request, answer, answered_ns)

    def _give_up(self, request: Request) -> bool:
        """Leave the request unsent if it is too late for it."""
        if self._now_ns() - request.intended_ns <= self._unsent_after_ns:
            return False
        self._leave_unsent(request)
        return True

    def _leave_unsent(self, request: Request) -> None:
        self._record(request, NO_TIME, [(Outcome.UNSENT, request.events)])
        self.counts.failures += 1
        self._report.unsent(request.called(), (self._now_ns() - request.intended_ns) / NS_PER_MS)

    def _settle(self, request: Request, answer: Answer, answered_ns: int) -> None:
        self._record(request, answered_ns if answer.status else NO_TIME, outcomes_of(answer, request.events))
        failure = failure_of(answer, hostile=self._spec.scenario == "hostile")
        if failure is not None:
            self.counts.failures += 1
        self._report.answered(
            request.called(),
            (answered_ns - request.intended_ns) / NS_PER_MS,
            (answered_ns - request.sent_ns) / NS_PER_MS,
            answer.content_bytes,
            failure,
        )

    def _settle_unanswered(self, request: Request) -> None:
        if request.sent_ns != NO_TIME:
            self._settle(request, Answer(status=0, error="no answer before the test ended"), self._now_ns())
        elif request.intended_ns <= self._stopped_ns:
            self._leave_unsent(request)
        else:
            self.counts.offered -= request.events
            del self._open[request.first]

    def _record(self, request: Request, answered_ns: int, outcomes: list[tuple[Outcome, int]]) -> None:
        """Note runs of events with the same outcome, and that the request needs no more."""
        first = request.first
        for outcome, events in outcomes:
            if self._ledger is not None:
                self._ledger.record(first, events, request.intended_ns, request.sent_ns, answered_ns, outcome)
            self.counts.add(outcome, events)
            first += events
        self.counts.requests += 1
        self._open.pop(request.first, None)


class _Upcoming:
    """The schedule as single requests, in order."""

    def __init__(self, spec: LoadSpec, index: int, count: int) -> None:
        self._chunks = schedule.requests(spec, index, count)
        self._requests: list[Request] = []
        self.exhausted = False

    def take(self, until_ns: float) -> Request | None:
        """The next request, if there is one that is due until then."""
        return self._requests.pop() if self.has(until_ns) else None

    def has(self, until_ns: float) -> bool:
        """Whether there is one that is due until then."""
        while not self._requests and not self.exhausted:
            self._load()
        return bool(self._requests) and self._requests[-1].intended_ns <= until_ns

    def _load(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self.exhausted = True
            return
        columns = (chunk.first, chunk.events, chunk.intended_ns, chunk.batch)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self._requests = [Request(*row) for row in rows][::-1]

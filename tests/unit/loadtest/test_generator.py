"""The generator in virtual time: lateness, what counts from when, and how each request ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest._clock import NS_PER_MS, NS_PER_S, Epoch
from loadtest._generator import Generator
from traffic.answer import Answer, Refused
from traffic.ledger import NO_TIME, Ledger, Outcome, path_of, read
from traffic.payload import Payload
from traffic.schedule import offered
from traffic.spec import LoadSpec

EPOCH = Epoch(monotonic_ns=1_000, unix_ns=1_764_158_400_000_000_000, host_id="here")
# Ten single events, due at 50, 150, ... 950 ms.
SPEC = LoadSpec(scenario="visitors", offered_load_events_per_s=10, arrivals="constant", duration_s=1)


class VirtualClock:
    """Time that passes only where somebody sleeps or is kept waiting."""

    def __init__(self) -> None:
        self.now_ns = EPOCH.monotonic_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def unix_ns(self) -> int:
        return EPOCH.unix_ns + self.now_ns - EPOCH.monotonic_ns

    def sleep_until(self, monotonic_ns: int) -> None:
        self.now_ns = max(self.now_ns, monotonic_ns)


class Source:
    """Payloads that say which request they are; making one takes ``build_ms``."""

    def __init__(self, clock: VirtualClock, build_ms: int) -> None:
        self._clock = clock
        self._build_ms = build_ms

    def payload(self, first: int, events: int, unix_ms: int, *, batch: bool) -> Payload:
        self._clock.now_ns += self._build_ms * NS_PER_MS
        return Payload("/track", (), f"{first} {events} {unix_ms} {batch}".encode(), "request")


class Report:
    def __init__(self) -> None:
        self.response_ms: list[float] = []
        self.service_ms: list[float] = []
        self.failures: list[str | None] = []
        self.unsent_ms: list[float] = []

    def answered(
        self, name: str, response_ms: float, service_ms: float, content_bytes: int, failure: str | None
    ) -> None:
        assert (name, content_bytes) in (("request", 2), ("request", 0))
        self.response_ms.append(response_ms)
        self.service_ms.append(service_ms)
        self.failures.append(failure)

    def unsent(self, name: str, waited_ms: float) -> None:
        assert name in ("/track", "/track/batch")
        self.unsent_ms.append(waited_ms)


class Bench:
    """A generator on a virtual clock, with one sender, and a server that ``serve`` plays."""

    def __init__(self, folder: Path, spec: LoadSpec = SPEC, *, unsent_after_s: float = 10, build_ms: int = 0) -> None:
        self.clock = VirtualClock()
        self.report = Report()
        self.sent: list[bytes] = []
        self.generator = Generator(spec, 0, 1, Source(self.clock, build_ms), self.clock, self.report, unsent_after_s)
        self._path = path_of(folder, 0)
        self.generator.begin(EPOCH, self._path, pid=1)

    def run(self, serve: Callable[[], Answer]) -> Ledger:
        def send(payload: Payload) -> Answer:
            self.sent.append(payload.body)
            return serve()

        self.generator.work(send)
        return self.end()

    def end(self) -> Ledger:
        self.generator.finish()
        counts = self.generator.counts
        assert counts.offered == counts.accepted + counts.rejected + counts.in_doubt + counts.unsent
        ledger = read(self._path)
        assert ledger.tail is not None
        assert ledger.tail.offered == ledger.records["count"].sum() == counts.offered
        return ledger


def taking(clock: VirtualClock, ms: int, status: int = 200) -> Callable[[], Answer]:
    def serve() -> Answer:
        clock.now_ns += ms * NS_PER_MS
        return Answer(status, content_bytes=2)

    return serve


def test_requests_go_out_at_their_intended_moments(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    records = bench.run(taking(bench.clock, ms=5)).records
    assert records["intended_ns"].tolist() == [ms * NS_PER_MS for ms in range(50, 1000, 100)]
    assert (records["sent_ns"] == records["intended_ns"]).all()
    assert (records["answered_ns"] - records["sent_ns"] == 5 * NS_PER_MS).all()
    assert set(records["outcome"].tolist()) == {Outcome.ACCEPTED}
    assert records["first"].tolist() == list(range(10))
    assert bench.report.response_ms == bench.report.service_ms == [5] * 10


def test_an_events_moment_is_its_intended_one_on_the_wall_clock(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(taking(bench.clock, ms=250))
    moments = [int(body.split()[2]) for body in bench.sent]
    assert moments == [EPOCH.unix_ns // NS_PER_MS + ms for ms in range(50, 1000, 100)]


def test_behind_a_slow_server_response_time_counts_from_the_intended_moment(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    records = bench.run(taking(bench.clock, ms=250)).records
    # Each request waits for the one before: 150 ms later than it, while service takes 250 ms each time.
    assert bench.report.service_ms == [250] * 10
    assert bench.report.response_ms == [250 + 150 * late for late in range(10)]
    assert (records["sent_ns"] - records["intended_ns"]).tolist() == [150 * late * NS_PER_MS for late in range(10)]
    assert bench.generator.counts.offered == offered(SPEC, 0, 1)


def test_the_body_is_made_before_the_request_is_due(tmp_path: Path) -> None:
    bench = Bench(tmp_path, build_ms=40)
    records = bench.run(taking(bench.clock, ms=5)).records
    assert (records["sent_ns"] == records["intended_ns"]).all()


def test_what_is_too_late_is_unsent_and_never_goes_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, unsent_after_s=0.3)
    records = bench.run(taking(bench.clock, ms=500)).records
    late_ns = records["sent_ns"] - records["intended_ns"]
    unsent = records["outcome"] == Outcome.UNSENT
    assert 0 < unsent.sum() < 10
    assert (records["sent_ns"][unsent] == NO_TIME).all()
    assert (late_ns[~unsent] <= 0.3 * NS_PER_S).all()
    assert len(bench.sent) == (~unsent).sum()
    assert all(waited > 300 for waited in bench.report.unsent_ms)
    assert bench.generator.counts.unsent == len(bench.report.unsent_ms) == unsent.sum()


@pytest.mark.parametrize(
    ("answer", "outcome", "failure"),
    [
        (Answer(503, 2), Outcome.REJECTED, "HTTP 503"),
        (Answer(429, 2), Outcome.REJECTED, "HTTP 429"),
        (Answer(400, 2), Outcome.REJECTED, "HTTP 400"),
        (Answer(302, 2), Outcome.REJECTED, "HTTP 302"),
        (Answer(0, 2, error="no answer: reset"), Outcome.IN_DOUBT, "no answer: reset"),
    ],
)
def test_what_is_not_accepted_is_rejected_or_in_doubt_and_sent_once(
    tmp_path: Path, answer: Answer, outcome: Outcome, failure: str
) -> None:
    bench = Bench(tmp_path)
    records = bench.run(lambda: answer).records
    assert set(records["outcome"].tolist()) == {outcome}
    assert bench.report.failures == [failure] * 10
    assert len(set(bench.sent)) == len(bench.sent) == 10
    has_answer = outcome is Outcome.REJECTED
    assert (records["answered_ns"] != NO_TIME).tolist() == [has_answer] * 10


def test_a_batch_partly_rejected_makes_a_row_for_each_run_of_events(tmp_path: Path) -> None:
    spec = LoadSpec(scenario="sdk", offered_load_events_per_s=200, arrivals="constant", duration_s=1)
    bench = Bench(tmp_path, spec)
    refused = (Refused(2, "too_large"), Refused(3, "too_large"), Refused(99_999, "beyond"))
    records = bench.run(lambda: Answer(200, 2, refused)).records
    batches = len(bench.sent)
    assert records["outcome"].tolist() == [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.ACCEPTED] * batches
    assert records["count"].tolist()[:2] == [2, 2]
    assert (records["sent_ns"][::3] == records["sent_ns"][2::3]).all()
    assert records["first"].tolist() == [0, *records["count"].cumsum().tolist()[:-1]]
    assert bench.generator.counts.rejected == 2 * batches
    assert bench.report.failures == ["events of a batch rejected: too_large"] * batches


def test_a_hostile_request_succeeds_when_it_is_refused(tmp_path: Path) -> None:
    spec = LoadSpec(scenario="hostile", offered_load_events_per_s=10, arrivals="constant", duration_s=1)
    answers = iter([Answer(400, 2), Answer(413, 2), Answer(200, 2), Answer(500, 2), *[Answer(422, 2)] * 6])
    bench = Bench(tmp_path, spec)
    bench.run(lambda: next(answers))
    deserved = " to a request that deserves a 4xx"
    assert bench.report.failures == [None, None, f"HTTP 200{deserved}", f"HTTP 500{deserved}", *[None] * 6]


def test_after_a_stop_nothing_is_sent_and_what_was_not_due_was_never_offered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    serve = taking(bench.clock, ms=250)
    served = 0

    def serve_and_stop() -> Answer:
        nonlocal served
        served += 1
        if served == 2:
            bench.generator.stop()
        return serve()

    records = bench.run(serve_and_stop).records
    # The second went out at 300 ms, when that of 250 ms had been due for a while: it still goes out.
    assert len(bench.sent) == 3
    assert set(records["outcome"].tolist()) == {Outcome.ACCEPTED}
    assert records["intended_ns"].tolist() == [ms * NS_PER_MS for ms in (50, 150, 250)]


def test_a_sender_that_is_killed_leaves_its_request_in_doubt(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def die() -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(die)
    assert not bench.generator.settled()
    bench.generator.stop()
    assert not bench.generator.settled()
    records = bench.end().records
    assert records["outcome"].tolist() == [Outcome.IN_DOUBT]
    assert records["sent_ns"][0] >= 0
    assert records["answered_ns"][0] == NO_TIME
    assert bench.report.failures == ["no answer before the test ended"]
    assert bench.generator.counts.failures == 1


def test_what_the_senders_never_got_to_is_unsent(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    records = bench.end().records
    assert records["outcome"].tolist() == [Outcome.UNSENT] * 10
    assert len(bench.report.unsent_ms) == bench.generator.counts.failures == 10


def test_an_answer_after_the_end_counts_for_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def end_meanwhile() -> Answer:
        bench.generator.stop()
        bench.generator.finish()
        return Answer(200, 2)

    records = bench.run(end_meanwhile).records
    assert records["outcome"].tolist() == [Outcome.IN_DOUBT]
    assert bench.report.failures == ["no answer before the test ended"]


def test_a_test_is_not_done_before_its_duration_has_passed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    serve = taking(bench.clock, ms=5)
    bench.generator.work(lambda _: serve())
    assert bench.generator.settled()
    early_ns = bench.clock.now_ns
    assert early_ns < EPOCH.monotonic_ns + NS_PER_S
    assert not bench.generator.done()
    bench.clock.now_ns = EPOCH.monotonic_ns + NS_PER_S
    assert bench.generator.done()

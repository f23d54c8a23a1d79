"""What a request costs the generator before it is sent and after it is answered. No servers are needed."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from traffic.answer import answer_of, outcomes_of
from traffic.content import Content
from traffic.ledger import Outcome
from traffic.payload import BATCH_PATH, Payload
from traffic.response import Response, ResponseReader
from traffic.source import TableSource

BATCH = 100
MOMENT_MS = 1_764_158_400_000
BODY = b'{"status":"ok","accepted":100,"rejected":[]}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: keep-alive\r\n\r\n%b" % (len(BODY), BODY)


@pytest.mark.benchmark(group="20 requests of the generator")
def test_bodies_of_100_events(benchmark: BenchmarkFixture, content: Content) -> None:
    source = TableSource(content, 0)
    firsts = count(0, BATCH)

    def make() -> list[Payload]:
        """As many as two strips hold: one is made for many requests."""
        return [source.payload(next(firsts), BATCH, MOMENT_MS, batch=True) for _ in range(20)]

    payloads = benchmark(make)
    assert {payload.path for payload in payloads} == {BATCH_PATH}
    assert len(msgspec.json.decode(payloads[0].body)["events"]) == BATCH


@pytest.mark.benchmark(group="a request of the generator")
def test_body_of_a_single_event(benchmark: BenchmarkFixture, content: Content) -> None:
    source = TableSource(content, 0)
    firsts = count()
    payload: Payload = benchmark(lambda: source.payload(next(firsts), 1, MOMENT_MS, batch=False))
    assert msgspec.json.decode(payload.body)["event_id"]


@pytest.mark.benchmark(group="a request of the generator")
def test_read_an_answer(benchmark: BenchmarkFixture) -> None:
    reader = ResponseReader()
    response: Response | None = benchmark(lambda: reader.feed(ANSWER))
    assert response == Response(200, BODY, keeps_alive=True)


@pytest.mark.benchmark(group="a request of the generator")
def test_outcomes_of_an_answer(benchmark: BenchmarkFixture) -> None:
    outcomes = benchmark(lambda: outcomes_of(answer_of(200, BODY, batch=True), BATCH))
    assert outcomes == [(Outcome.ACCEPTED, BATCH)]

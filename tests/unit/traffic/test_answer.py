"""Answers and counts: what a response means, and how delays are counted."""

import pytest

from loadtest._options import Options
from loadtest._summary import text
from traffic.answer import Answer, answer_of, outcomes_of
from traffic.counts import Counts
from traffic.ledger import Outcome
from traffic.spec import LoadSpec


def test_the_rejected_events_of_a_batch_are_read_from_its_answer() -> None:
    body = b'{"status":"ok","accepted":2,"rejected":[{"index":1,"code":"invalid","error":"no event"}]}'
    answer = answer_of(200, body, batch=True)
    assert [(each.index, each.code) for each in answer.refused] == [(1, "invalid")]
    assert outcomes_of(answer, 3) == [(Outcome.ACCEPTED, 1), (Outcome.REJECTED, 1), (Outcome.ACCEPTED, 1)]


@pytest.mark.parametrize("body", [b"", b"OK", b'{"status":"ok"}', b"[1]"])
def test_a_2xx_with_another_body_accepts_all(body: bytes) -> None:
    assert outcomes_of(answer_of(202, body, batch=True), 5) == [(Outcome.ACCEPTED, 5)]


def test_the_list_in_a_503_is_not_looked_at() -> None:
    body = b'{"rejected":[{"index":0,"code":"away"}]}'
    assert outcomes_of(answer_of(503, body, batch=True), 5) == [(Outcome.REJECTED, 5)]


def test_no_answer_leaves_all_in_doubt() -> None:
    assert outcomes_of(Answer(status=0), 5) == [(Outcome.IN_DOUBT, 5)]


def test_delays_are_bounded_by_the_next_power_of_two_in_microseconds() -> None:
    counts = Counts()
    assert counts.delay_bound_ms(0.99) is None
    for delay_us in [100] * 99 + [5000]:
        counts.note_delay(delay_us * 1000)
    assert counts.delay_bound_ms(0.99) == 0.128
    assert counts.delay_bound_ms(1) == 8.192


def test_counts_of_processes_add_up() -> None:
    one, other = Counts(), Counts()
    for number, outcome in enumerate(Outcome, 1):
        one.add(outcome, number)
        other.add(outcome, 10 * number)
    one.include(other)
    assert (one.accepted, one.rejected, one.in_doubt, one.unsent) == (11, 22, 33, 44)


def test_the_summary_reports_numbers_that_do_not_add_up() -> None:
    options = Options(LoadSpec(), 64, 10, 15, "", "")
    whole = text(options, Counts(offered=10, accepted=7, rejected=1, in_doubt=1, unsent=1, requests=3), "")
    assert "10 events offered in 3 requests" in whole
    assert "accepted 7 (70.00%), rejected 1 (10.00%)" in whole
    assert "ADD UP" not in whole
    assert "ADD UP" in text(options, Counts(offered=10, accepted=7), "")

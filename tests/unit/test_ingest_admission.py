"""What may be in flight: never more than the bounds, and all of it given back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UnavailableError
from pipeline.ingest.admission import Admission, Hold, ShareExceededError
from pipeline.ingest.submission import Record, Submission


def test_bytes_that_are_read_become_events_on_their_way() -> None:
    admission = Admission(10, 100, shared=False)
    hold = admission.open("")
    hold.grow(60)
    hold.grow(30)
    assert (admission.events, admission.size_bytes) == (0, 90)
    hold.exchange(4, 50)
    assert (admission.events, admission.size_bytes) == (4, 50)
    hold.release()
    hold.release()
    assert (admission.events, admission.size_bytes) == (0, 0)


@pytest.mark.parametrize(("events", "size_bytes"), [(11, 1), (1, 101)])
def test_a_bound_refuses_all_of_a_request_and_keeps_what_it_held(events: int, size_bytes: int) -> None:
    admission = Admission(10, 100, shared=False)
    hold = admission.open("")
    hold.grow(40)
    with pytest.raises(UnavailableError) as caught:
        hold.exchange(events, size_bytes)
    assert not isinstance(caught.value, ShareExceededError)
    assert caught.value.retry_after_s >= 1
    assert (admission.events, admission.size_bytes) == (0, 40)
    hold.release()
    assert admission.size_bytes == 0


def test_beyond_the_bound_less_can_still_be_given_back() -> None:
    admission = Admission(10, 100, shared=False)
    first, second = admission.open(""), admission.open("")
    first.exchange(10, 90)
    second.grow(10)
    first.exchange(9, 90)
    with pytest.raises(UnavailableError):
        second.grow(1)


def test_one_of_several_keys_may_not_hold_everything() -> None:
    admission = Admission(100, 1000, shared=True)
    loud, quiet = admission.open("loud"), admission.open("quiet")
    loud.exchange(75, 10)
    with pytest.raises(ShareExceededError):
        admission.open("loud").exchange(1, 1)
    with pytest.raises(ShareExceededError):
        admission.open("loud").grow(741)
    quiet.exchange(25, 10)
    with pytest.raises(UnavailableError) as caught:
        quiet.exchange(26, 10)
    assert not isinstance(caught.value, ShareExceededError)
    loud.release()
    admission.open("loud").exchange(75, 10)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4), st.sampled_from(["grow", "exchange", "release"]), st.integers(0, 12), st.integers(0, 120)
        ),
        max_size=60,
    )
)
def test_what_is_held_is_always_the_sum_and_within_the_bounds(steps: list[tuple[int, str, int, int]]) -> None:
    admission = Admission(10, 100, shared=True)
    holds = [admission.open(f"key-{number % 2}") for number in range(5)]
    for number, step, events, size_bytes in steps:
        try:
            if step == "grow":
                holds[number].grow(size_bytes)
            elif step == "exchange":
                holds[number].exchange(events, size_bytes)
            else:
                holds[number].release()
        except UnavailableError:
            pass
        assert admission.events == sum(hold.events for hold in holds) <= 10
        assert admission.size_bytes == sum(hold.size_bytes for hold in holds) <= 100
    for hold in holds:
        hold.release()
    assert admission.events == admission.size_bytes == 0
    assert admission.clients == 0


async def test_giving_up_waiting_frees_nothing_before_kafka_has_answered() -> None:
    admission = Admission(10, 100, shared=False)
    submission = submitted(admission, events=2)
    assert not await submission.wait(0.01)
    assert (admission.events, submission.pending) == (2, {0, 1})
    submission.settle((0,), None)
    assert admission.events == 2
    submission.settle((1,), "gone")
    assert admission.events == 0
    assert submission.failures == {1: "gone"}


async def test_a_client_that_goes_away_frees_nothing_either() -> None:
    admission = Admission(10, 100, shared=False)
    submission = submitted(admission, events=1)
    waiting = asyncio.create_task(submission.wait(60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert admission.events == 1
    submission.settle((0,), None)
    assert admission.events == 0


async def test_the_wait_ends_with_the_last_event() -> None:
    submission = submitted(Admission(10, 100, shared=False), events=2)
    asyncio.get_running_loop().call_later(0.01, submission.settle, (0, 1), None)
    assert await submission.wait(60)
    assert await submission.wait(60)  # once more is no wait at all
    assert not submission.failures


def submitted(admission: Admission, events: int) -> Submission:
    hold: Hold = admission.open("")
    hold.exchange(events, 10)
    records = [Record(place, "topic", b"key", b"value") for place in range(events)]
    return Submission(records, hold, asyncio.get_running_loop())

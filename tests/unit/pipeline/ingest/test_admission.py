"""What may be in flight: never more than the bounds, and all of it given back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UnavailableError
from pipeline.ingest.admission import Admission, Reservation, ShareExceededError
from pipeline.ingest.publishing.submission import DeadlineQueue, Submission


def test_bytes_that_are_read_become_events_on_their_way() -> None:
    admission = Admission(10, 100, shared=False)
    reservation = admission.open("")
    reservation.grow(60)
    reservation.grow(30)
    assert (admission.events, admission.size_bytes) == (0, 90)
    reservation.exchange(4, 50)
    assert (admission.events, admission.size_bytes) == (4, 50)
    reservation.release()
    reservation.release()
    assert (admission.events, admission.size_bytes) == (0, 0)


@pytest.mark.parametrize(("events", "size_bytes"), [(11, 1), (1, 101)])
def test_a_bound_refuses_all_of_a_request_and_keeps_what_it_held(events: int, size_bytes: int) -> None:
    admission = Admission(10, 100, shared=False)
    reservation = admission.open("")
    reservation.grow(40)
    with pytest.raises(UnavailableError) as caught:
        reservation.exchange(events, size_bytes)
    assert not isinstance(caught.value, ShareExceededError)
    assert caught.value.retry_after_s >= 1
    assert (admission.events, admission.size_bytes) == (0, 40)
    reservation.release()
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
    reservations = [admission.open(f"key-{number % 2}") for number in range(5)]
    for number, step, events, size_bytes in steps:
        try:
            if step == "grow":
                reservations[number].grow(size_bytes)
            elif step == "exchange":
                reservations[number].exchange(events, size_bytes)
            else:
                reservations[number].release()
        except UnavailableError:
            pass
        assert admission.events == sum(reservation.events for reservation in reservations) <= 10
        assert admission.size_bytes == sum(reservation.size_bytes for reservation in reservations) <= 100
    for reservation in reservations:
        reservation.release()
    assert admission.events == admission.size_bytes == 0
    assert not admission._by_client


async def test_a_request_waits_for_room_and_gets_it_in_the_order_of_arrival() -> None:
    admission = Admission(10, 100, shared=False)
    first = admission.open("")
    first.exchange(10, 10)
    reservations = [admission.open("") for _ in range(3)]
    waiting = [
        asyncio.create_task(reservation.admit(events, 1, 60))
        for reservation, events in zip(reservations, (6, 5, 1), strict=True)
    ]
    await asyncio.sleep(0)
    assert admission.waiting == 3
    first.release()
    await waiting[0]
    assert (admission.events, admission.waiting) == (6, 2)  # the last has to wait for the one before it
    reservations[0].release()
    await asyncio.gather(*waiting)
    assert (admission.events, admission.size_bytes, admission.waiting) == (6, 2, 0)


async def test_a_wait_for_room_ends_and_lets_those_behind_it_in() -> None:
    admission = Admission(10, 100, shared=False)
    admission.open("").exchange(8, 10)
    large, small = admission.open(""), admission.open("")
    refused = asyncio.create_task(large.admit(3, 1, 0.01))
    admitted = asyncio.create_task(small.admit(2, 1, 60))
    with pytest.raises(UnavailableError, match="too much in flight"):
        await refused
    await admitted
    assert (admission.events, large.events, small.events, admission.waiting) == (10, 0, 2, 0)


async def test_who_waits_with_a_body_in_hand_does_not_wait_for_those_who_have_none() -> None:
    admission = Admission(10, 100, shared=False)
    full, read, unread = admission.open(""), admission.open(""), admission.open("")
    full.exchange(10, 10)
    read.grow(90)
    without = asyncio.create_task(unread.admit(0, 50, 60))
    await asyncio.sleep(0)
    with_body = asyncio.create_task(read.admit(5, 90, 60))
    await asyncio.sleep(0)
    full.release()
    await with_body
    assert (admission.events, unread.size_bytes) == (5, 0)
    read.release()
    await without
    assert unread.size_bytes == 50


async def test_all_waits_of_a_request_together_are_bounded() -> None:
    admission = Admission(10, 100, shared=False)
    reservation = admission.open("")
    loop = asyncio.get_running_loop()
    first = admission.open("")
    first.exchange(10, 100)
    loop.call_later(0.2, first.release)
    await reservation.admit(0, 50, 0.3)
    admission.open("").exchange(10, 10)
    began_s = loop.time()
    with pytest.raises(UnavailableError):
        await reservation.admit(5, 50, 0.3)
    assert loop.time() - began_s < 0.25


async def test_a_client_that_goes_away_while_it_waits_takes_nothing() -> None:
    admission = Admission(10, 100, shared=False)
    full, gone, next_ = admission.open(""), admission.open(""), admission.open("")
    full.exchange(9, 10)
    waiting = asyncio.create_task(gone.admit(5, 1, 60))
    behind = asyncio.create_task(next_.admit(1, 1, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await behind
    assert (admission.events, gone.events, next_.events, admission.waiting) == (10, 0, 1, 0)


async def test_a_thousand_that_wait_are_let_in_at_once_when_all_give_bytes_back() -> None:
    admission = Admission(2_000, 10_000, shared=False)
    full = admission.open("")
    full.exchange(2_000, 0)
    reservations = [admission.open("") for _ in range(2_000)]
    for reservation in reservations:
        reservation.grow(5)
    waiting = [asyncio.create_task(reservation.admit(1, 1, 60)) for reservation in reservations]
    await asyncio.sleep(0)
    full.release()
    await asyncio.gather(*waiting)
    assert (admission.events, admission.size_bytes) == (2_000, 2_000)


async def test_a_client_over_its_share_is_refused_at_once() -> None:
    admission = Admission(100, 1000, shared=True)
    admission.open("loud").exchange(75, 10)
    with pytest.raises(ShareExceededError):
        await admission.open("loud").admit(1, 1, 60)


async def test_giving_up_waiting_frees_nothing_before_kafka_has_answered() -> None:
    admission = Admission(10, 100, shared=False)
    submission = submitted(admission, "one", "two", timeout_s=0.01)
    assert not await submission.wait()
    assert (admission.events, submission.pending) == (2, {"one", "two"})
    submission.settle("one", None)
    assert admission.events == 2
    submission.settle("two", "gone")
    assert admission.events == 0
    assert submission.failed("in doubt") == {1: "gone"}


async def test_a_client_that_goes_away_frees_nothing_either() -> None:
    admission = Admission(10, 100, shared=False)
    submission = submitted(admission, "one")
    waiting = asyncio.create_task(submission.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert admission.events == 1
    submission.settle("one", None)
    assert admission.events == 0


async def test_the_wait_ends_with_the_last_batch() -> None:
    submission = submitted(Admission(10, 100, shared=False), "one", "one")
    asyncio.get_running_loop().call_later(0.01, submission.settle, "one", None)
    assert await submission.wait()
    assert await submission.wait()  # once more is no wait at all
    assert submission.failed("in doubt") == {}


async def test_each_event_has_the_fate_of_its_batch() -> None:
    submission = submitted(Admission(10, 100, shared=False), "a", "b", "a", "c", "b")
    submission.settle("a", "gone")
    submission.settle("c", None)
    assert submission.failed("in doubt") == {0: "gone", 1: "in doubt", 2: "gone", 4: "in doubt"}


async def test_everything_that_waits_is_woken_in_time_and_nothing_before() -> None:
    deadlines, admission, loop = DeadlineQueue(0.05), Admission(10, 100, shared=False), asyncio.get_running_loop()
    woken_s = []

    async def wait() -> None:
        begun_s = loop.time()
        assert not await Submission(["one"], admission.open(""), deadlines).wait()
        woken_s.append(loop.time() - begun_s)

    waiting = []
    for _ in range(4):
        waiting.append(asyncio.create_task(wait()))
        await asyncio.sleep(0.02)
    await asyncio.gather(*waiting)
    assert len(woken_s) == 4
    assert min(woken_s) >= 0.049


def submitted(admission: Admission, *batches: str, timeout_s: float = 60) -> Submission:
    reservation: Reservation = admission.open("")
    reservation.exchange(len(batches), 10)
    return Submission(batches, reservation, DeadlineQueue(timeout_s))

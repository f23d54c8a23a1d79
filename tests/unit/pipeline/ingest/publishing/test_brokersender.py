"""Rounds to Kafka: when they are sent, and when their outcome is reported."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiokafka.structs import TopicPartition

from pipeline.ingest.admission import Admission
from pipeline.ingest.publishing.brokersender import Acknowledgement, BatchBuilder, BrokerSender, PartitionBatch
from pipeline.ingest.publishing.submission import DeadlineQueue, Submission

_TO = TopicPartition("clicks", 0)
_TURNS = 30  # of the event loop: more than anything here takes


class _Builder:
    """A batch that is never full."""

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None) -> object:
        del timestamp, key, value
        return self

    def close(self) -> None:
        """Nothing to close."""


class _Producer:
    """Takes batches and leaves it to the test when they are acknowledged."""

    def __init__(self) -> None:
        self.taken: list[Acknowledgement] = []

    def create_batch(self) -> BatchBuilder:
        return _Builder()

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Acknowledgement:
        del batch, topic, partition
        self.taken.append(asyncio.get_running_loop().create_future())
        return self.taken[-1]


class _Case:
    """A broker sender that runs, with one queue."""

    def __init__(self, linger_s: float = 0) -> None:
        self.producer = _Producer()
        self.broker_sender = BrokerSender(self.producer, linger_s=linger_s, timeout_s=10)
        self._queue = self.broker_sender.queue(_TO)
        self._deadlines = DeadlineQueue(10)
        self._admission = Admission(1_000, 1_000_000, shared=False)

    def submit(self) -> Submission:
        batch: PartitionBatch = self._queue.add(b"user", b"{}", 0)
        submission = Submission([batch], self._admission.open(""), self._deadlines)
        batch.submissions.append(submission)
        return submission


def _run(test: Callable[[_Case], Awaitable[None]], linger_s: float = 0) -> None:
    async def run() -> None:
        case = _Case(linger_s)
        running = asyncio.create_task(case.broker_sender.run())
        await test(case)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(run())


async def _under_load(case: _Case) -> None:
    """Have rounds sent and acknowledged that are as many events as make the next one wait."""
    for _ in range(2):
        await asyncio.sleep(0.02)
        for _ in range(900):
            case.submit()
        await _turns_until(lambda: case.producer.taken and not case.producer.taken[-1].done())
        case.producer.taken[-1].set_result(None)
    await asyncio.wait_for(case.broker_sender.idle.wait(), 1)


async def _turns_until(condition: Callable[[], object]) -> int:
    for turn in range(_TURNS):
        if condition():
            return turn
        await asyncio.sleep(0)
    raise AssertionError("it did not come")


def test_a_round_is_reported_once_the_next_one_is_on_its_way() -> None:
    async def test(case: _Case) -> None:
        first = case.submit()
        await _turns_until(lambda: case.producer.taken)
        second = case.submit()
        case.producer.taken[0].set_result(None)
        await _turns_until(lambda: len(case.producer.taken) == 2)
        # aiokafka's own tasks write the request, some turns after it was handed over
        assert await _turns_until(lambda: not first.pending) >= 3
        assert not first.failures
        assert second.pending

    _run(test)


def test_a_round_without_a_next_one_is_reported_at_once() -> None:
    async def test(case: _Case) -> None:
        only = case.submit()
        await _turns_until(lambda: case.producer.taken)
        case.producer.taken[0].set_result(None)
        assert await _turns_until(lambda: not only.pending) <= 1
        await asyncio.wait_for(case.broker_sender.idle.wait(), 1)

    _run(test)


def test_acknowledged_events_are_reported_also_when_the_connection_was_closed_before() -> None:
    async def test(case: _Case) -> None:
        first = case.submit()
        await _turns_until(lambda: case.producer.taken)
        second = case.submit()
        case.producer.taken[0].set_result(None)
        await asyncio.sleep(0)
        assert first.pending
        case.broker_sender.fail("given up")
        assert not first.pending
        assert not first.failures
        assert list(second.failures.values()) == ["given up"]

    _run(test)


def test_under_load_the_next_round_waits_for_company_and_for_so_long_only() -> None:
    async def test(case: _Case) -> None:
        await _under_load(case)
        rounds = len(case.producer.taken)
        case.submit()
        with contextlib.suppress(AssertionError):
            await _turns_until(lambda: len(case.producer.taken) > rounds)
        assert len(case.producer.taken) == rounds
        await asyncio.sleep(0.6)
        assert len(case.producer.taken) == rounds + 1

    _run(test, linger_s=0.3)


def test_a_round_that_is_flushed_does_not_wait_and_the_one_after_it_waits_again() -> None:
    async def test(case: _Case) -> None:
        await _under_load(case)
        rounds = len(case.producer.taken)
        case.submit()
        case.broker_sender.flush()
        await _turns_until(lambda: len(case.producer.taken) > rounds)
        case.producer.taken[-1].set_result(None)
        await asyncio.wait_for(case.broker_sender.idle.wait(), 1)
        case.submit()
        with contextlib.suppress(AssertionError):
            await _turns_until(lambda: len(case.producer.taken) > rounds + 1)
        assert len(case.producer.taken) == rounds + 1

    _run(test, linger_s=60)


def test_at_rest_no_round_waits() -> None:
    async def test(case: _Case) -> None:
        for rounds in (1, 2, 3):
            await asyncio.sleep(0.02)
            case.submit()
            await _turns_until(lambda wanted=rounds: len(case.producer.taken) == wanted)  # type: ignore[misc]
            case.producer.taken[-1].set_result(None)

    _run(test, linger_s=0.05)

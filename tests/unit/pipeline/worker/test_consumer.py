"""The consumer's life: a worker outlives it, and goes on with a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import TopicPartition
from msgspec import structs

from pipeline.settings import Settings
from pipeline.worker import membership, watch
from pipeline.worker.consumer import EventConsumer, GroupTask
from pipeline.worker.metrics import WorkerMetrics

PARTITION = TopicPartition("events_signup", 0)
Call = Callable[[], Awaitable[Any]]


def raises(error: BaseException) -> Call:
    async def call() -> None:
        raise error

    return call


async def hangs() -> None:
    await asyncio.sleep(3_600)


async def cancelled_within() -> None:
    """As aiokafka's own tasks do it: one is cancelled while another waits for it."""
    inner = asyncio.ensure_future(asyncio.sleep(3_600))
    asyncio.get_running_loop().call_soon(inner.cancel)
    await inner


class _Kafka:
    """Consumers that get no records; the first ``ill`` of them fail in ``ways``, a call by its name."""

    def __init__(self, ill: int = 0, **ways: Call) -> None:
        self.ill = ill
        self.ways = ways
        self.made = 0
        self.stopped = 0
        self.answered = asyncio.Event()

    def __call__(self, **_: Any) -> _Consumer:
        self.made += 1
        return _Consumer(self, self.ways if self.made <= self.ill else {})


class _Consumer:
    _subscription = SimpleNamespace(subscription=None)
    _client = SimpleNamespace()

    def __init__(self, kafka: _Kafka, ways: Mapping[str, Call]) -> None:
        self._kafka = kafka
        self._ways = ways

    def subscribe(self, **_: Any) -> None: ...

    async def start(self) -> None:
        await self._do("start")

    async def stop(self) -> None:
        self._kafka.stopped += 1
        await self._do("stop")

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def paused(self) -> set[TopicPartition]:
        return set()

    def resume(self, *_: TopicPartition) -> None: ...

    async def getmany(self, **_: Any) -> Mapping[TopicPartition, list[Any]]:
        await asyncio.sleep(0.001)
        await self._do("getmany")
        return {}

    async def end_offsets(self, _: set[TopicPartition]) -> dict[TopicPartition, int]:
        await self._do("end_offsets")
        if not self._ways:
            self._kafka.answered.set()
        return {PARTITION: 5 if "unread" in self._ways else 0}

    async def position(self, _: TopicPartition) -> int:
        return 0

    async def _do(self, name: str) -> None:
        if name in self._ways:
            await self._ways[name]()


async def _outlives(kafka: _Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "AIOKafkaConsumer", kafka)
    monkeypatch.setattr(watch, "_INTERVAL_S", 0.005)
    settings = Settings()
    brief = structs.replace(settings.worker, retry_pause_s=0.01, shutdown_timeout_s=0.8)
    settings = structs.replace(settings, worker=brief)
    writer: Any = SimpleNamespace(write=None)  # nothing comes that it could write
    worker = EventConsumer(settings, GroupTask(writer.write), WorkerMetrics(), on_assigned=lambda _: None)
    running = asyncio.create_task(worker.run())
    answered = asyncio.create_task(kafka.answered.wait())
    await asyncio.wait({running, answered}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert not running.done(), "the worker has ended"
    assert answered.done(), "no further consumer works"
    worker.stop()
    assert await running == 0


@pytest.mark.parametrize("ill", [0, 2])
async def test_a_consumer_that_gets_no_answers_is_made_anew(monkeypatch: pytest.MonkeyPatch, ill: int) -> None:
    kafka = _Kafka(ill, end_offsets=raises(KafkaConnectionError("nobody answers")))
    await _outlives(kafka, monkeypatch)
    assert kafka.made == kafka.stopped == ill + 1


async def test_a_consumer_that_fetches_nothing_although_there_is_something_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = _Kafka(1, unread=hangs)
    await _outlives(kafka, monkeypatch)
    assert kafka.made == kafka.stopped == 2


@pytest.mark.parametrize("call", ["start", "getmany", "stop"])
@pytest.mark.parametrize(
    "way",
    [
        raises(KafkaConnectionError("away")),
        raises(GroupCoordinatorNotAvailableError()),
        raises(GroupAuthorizationFailedError("group")),
        raises(UnknownMemberIdError()),
        raises(UnknownTopicOrPartitionError()),
        raises(RuntimeError("unable to perform operation on a closed transport")),
        raises(AssertionError("a mistake of the client")),
        raises(OSError(24, "too many open files")),
        cancelled_within,
    ],
    ids=[
        "away",
        "no coordinator",
        "no rights",
        "unknown member",
        "no topic",
        "runtime",
        "assertion",
        "os",
        "cancelled",
    ],
)
async def test_a_worker_outlives_a_consumer_that_fails(monkeypatch: pytest.MonkeyPatch, call: str, way: Call) -> None:
    ways = {call: way}
    if call == "stop":  # it comes to that where something failed before
        ways["getmany"] = raises(KafkaConnectionError("away"))
    kafka = _Kafka(2, **ways)
    await _outlives(kafka, monkeypatch)
    assert kafka.made == 3


async def test_a_worker_outlives_a_consumer_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = _Kafka(1, getmany=raises(KafkaConnectionError("away")), stop=hangs)
    await _outlives(kafka, monkeypatch)
    assert kafka.made == 2

"""The consumer's life: one that gets no answers any more is made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition
from msgspec import structs

from pipeline.settings import Settings
from pipeline.worker import consumer
from pipeline.worker.consumer import EventConsumer
from pipeline.worker.metrics import WorkerMetrics

PARTITION = TopicPartition("events_signup", 0)


class _Kafka:
    """Consumers that get no records, the first ``mute`` of them no answer to any question either."""

    def __init__(self, mute: int) -> None:
        self.mute = mute
        self.made = 0
        self.stopped = 0
        self.answered = asyncio.Event()

    def __call__(self, **_: Any) -> _Consumer:
        self.made += 1
        return _Consumer(self, mute=self.made <= self.mute)


class _Consumer:
    def __init__(self, kafka: _Kafka, *, mute: bool) -> None:
        self._kafka = kafka
        self._mute = mute

    def subscribe(self, **_: Any) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self._kafka.stopped += 1

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def paused(self) -> set[TopicPartition]:
        return set()

    def resume(self, *_: TopicPartition) -> None: ...

    async def getmany(self, **_: Any) -> Mapping[TopicPartition, list[Any]]:
        await asyncio.sleep(0.001)
        return {}

    async def end_offsets(self, _: set[TopicPartition]) -> dict[TopicPartition, int]:
        if self._mute:
            raise KafkaConnectionError("nobody answers")
        self._kafka.answered.set()
        return {PARTITION: 0}

    async def position(self, _: TopicPartition) -> int:
        return 0


@pytest.mark.parametrize("mute", [0, 2])
async def test_a_consumer_that_gets_no_answers_is_made_anew(monkeypatch: pytest.MonkeyPatch, mute: int) -> None:
    kafka = _Kafka(mute)
    monkeypatch.setattr(consumer, "AIOKafkaConsumer", kafka)
    monkeypatch.setattr(consumer, "_WATCH_INTERVAL_S", 0.005)
    settings = Settings()
    settings = structs.replace(settings, worker=structs.replace(settings.worker, retry_pause_s=0.01))
    writer: Any = SimpleNamespace(write=None)  # nothing comes that it could write
    worker = EventConsumer(settings, writer, WorkerMetrics(), on_assigned=lambda _: None)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(kafka.answered.wait(), 30)
    worker.stop()
    assert await running == 0
    assert kafka.made == kafka.stopped == mute + 1

"""What a connection to Kafka makes of the number of clients: when a round need not wait for the others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.ingest.admission import Admission
from pipeline.ingest.connection import Connection
from pipeline.ingest.outlet import Outlet
from pipeline.ingest.submission import Records
from pipeline.settings import Settings


class _Silent:
    """A producer with one partition a topic, whose Kafka never answers."""

    def __init__(self) -> None:
        cluster = SimpleNamespace(
            partitions_for_topic=lambda _: {0}, leader_for_partition=lambda _: 0, add_listener=lambda _: None
        )
        self.client = SimpleNamespace(cluster=cluster)

    def create_batch(self) -> Any:
        return SimpleNamespace(append=lambda **_: object(), close=lambda: None)

    async def send_batch(self, *_: Any, **__: Any) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


async def test_a_round_is_hurried_once_half_of_the_clients_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    hurried = []

    def hurry(outlet: Outlet) -> None:
        hurried.append(outlet)

    monkeypatch.setattr(Outlet, "hurry", hurry)
    producer: Any = _Silent()
    connection = Connection(Settings(), producer, lambda: 6)
    admission = Admission(100, 1 << 20, shared=False)
    after_each = []
    waiting = []
    for _ in range(4):
        submission = connection.publish(Records(["events_signup"], ["7"], [b"{}"]), 0, admission.open(""))
        waiting.append(asyncio.ensure_future(submission.wait()))
        await asyncio.sleep(0)
        after_each.append(len(hurried))
    assert after_each == [0, 0, 1, 2]

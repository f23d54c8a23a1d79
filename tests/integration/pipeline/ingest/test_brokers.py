"""One of three brokers gone: the API rides it out, for the others answer and lead all partitions soon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from pipeline import provision
from pipeline.local.stack import LocalStack
from pipeline.local.stackspec import StackSpec, copies_of
from pipeline.settings import Kafka, Local, Settings
from tests.integration.ingest_api import SEED_EVENT, WAIT_S, messages, post, running, wait_until, with_api

pytestmark = pytest.mark.slow

CLIENTS = 4
THREE = StackSpec(brokers=3)


@pytest.fixture
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalStack]:
    request.getfixturevalue("parts_are_there")
    with LocalStack(Local(), logs_dir=tmp_path, spec=THREE) as started:
        yield started


def test_the_api_accepts_events_with_one_of_three_brokers_gone(stack: LocalStack, tmp_path: Path) -> None:
    kafka = Kafka(bootstrap_servers=stack.kafka_bootstrap_servers, **copies_of(THREE))
    asyncio.run(provision.create_topics(kafka))
    settings = with_api(Settings(kafka=kafka), port=0, publish_timeout_s=WAIT_S)
    settings = structs.replace(settings, kafka=structs.replace(kafka, request_timeout_ms=round(WAIT_S * 1_000)))
    accepted: list[str] = []
    statuses: list[int] = []
    stop = threading.Event()

    def send(client: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            event_id = f"{client}-{number}"
            status = post(api, "/track", {**SEED_EVENT, "user_id": event_id, "event_id": event_id}).status
            statuses.append(status)
            if status == 200:
                accepted.append(event_id)
            else:
                time.sleep(0.1)

    with running(settings, tmp_path) as api:
        clients = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(CLIENTS)]
        for each in clients:
            each.start()
        try:
            wait_until(lambda: len(accepted) > 200, "load is accepted")
            stack.brokers[1].kill()
            before = len(accepted)
            wait_until(lambda: len(accepted) > before + 500, "load is accepted by the other brokers")
        finally:
            stop.set()
            for each in clients:
                each.join()
        assert set(statuses) == {200}
        assert "failed" not in api.log
        found = [message["event_id"] for message in messages(settings)]
    assert sorted(found) == sorted(accepted)

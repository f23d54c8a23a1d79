"""One of two brokers gone: the API rides it out, for the other one answers and leads all partitions soon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from msgspec import structs

from pipeline import provision
from pipeline.local import kafka as broker
from pipeline.local.jars import cache_folder, kafka_jars
from pipeline.local.parts import find_java
from pipeline.local.ports import HOST, free_port
from pipeline.local.process import ChildProcess
from pipeline.local.stack import LocalStack
from pipeline.settings import Kafka, Local, Settings
from tests.integration.ingest_api import SEED_EVENT, WAIT_S, messages, post, running, wait_until, with_api

pytestmark = pytest.mark.slow

CLIENTS = 4


class Brokers:
    """Two brokers of one cluster; the second one can be killed, for the first one controls both."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        local = Local(data_dir=str(folder / "first"))
        self._stack = LocalStack(local, logs_dir=folder)
        self.second: ChildProcess | None = None
        self._port = free_port()

    @property
    def bootstrap_servers(self) -> str:
        return f"{self._stack.kafka_bootstrap_servers},{HOST}:{self._port}"

    def __enter__(self) -> Self:
        self._stack.start()
        data = self._folder / "second"
        self.second = broker.prepare(
            java=find_java(Local()).path,
            jars=kafka_jars(cache_folder(""), lambda _: None),
            port=self._port,
            controller_port=free_port(),
            data_dir=data,
            log_path=self._folder / "second.log",
        )
        first = self._folder / "first" / "kafka"
        _change(
            data / "server.properties",
            {
                "process.roles": "broker",
                "node.id": "2",
                "controller.quorum.voters": _read(first / "server.properties")["controller.quorum.voters"],
                "listeners": f"PLAINTEXT://{HOST}:{self._port}",
            },
        )
        cluster = _read(first / "log" / "meta.properties")["cluster.id"]
        _change(data / "log" / "meta.properties", {"node.id": "2", "cluster.id": cluster})
        self.second.start()
        broker.wait_until_ready(self.second)
        return self

    def __exit__(self, *_: object) -> None:
        if self.second is not None:
            self.second.kill()
        self._stack.stop()


def _read(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _change(path: Path, values: dict[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in {**_read(path), **values}.items()))


@pytest.fixture
def brokers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Brokers]:
    request.getfixturevalue("parts_are_there")
    with Brokers(tmp_path / "servers") as started:
        yield started


def test_the_api_accepts_events_with_one_of_two_brokers_gone(brokers: Brokers, tmp_path: Path) -> None:
    kafka = Kafka(bootstrap_servers=brokers.bootstrap_servers, replication_factor=2)
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
        clients = [threading.Thread(target=send, args=(number,)) for number in range(CLIENTS)]
        for each in clients:
            each.start()
        try:
            wait_until(lambda: len(accepted) > 200, "load is accepted")
            assert brokers.second is not None
            brokers.second.kill()
            before = len(accepted)
            wait_until(lambda: len(accepted) > before + 500, "load is accepted by the other broker")
        finally:
            stop.set()
            for each in clients:
                each.join()
        assert set(statuses) == {200}
        assert "failed" not in api.log
        found = [message["event_id"] for message in messages(settings)]
    assert sorted(found) == sorted(accepted)

"""What the tests of workers share: workers as processes, records in Kafka, documents in MongoDB."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec import Struct, structs
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from bench.recorder.recorder import Places
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings
from tests.integration import dashboard_runs, roles

WAIT_S = 45.0


class Letter(Struct, frozen=True):
    """A record of the dead-letter topic, its headers as text."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, str]


class Kafka:
    """Records in and out, as any client would do it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers = settings.kafka.bootstrap_servers

    def topic(self, event_type: str = "page_view") -> str:
        return self._settings.kafka.topic_prefix + event_type

    def send(
        self, values: Sequence[bytes | None], event_type: str = "page_view", *, timestamp_ms: int | None = None
    ) -> None:
        """Put ``values`` on the topic of ``event_type``, round robin over its partitions."""
        asyncio.run(self._send(values, event_type, timestamp_ms))

    def committed(self, event_type: str = "page_view") -> dict[int, int]:
        """What the workers' group has committed, by partition (0: nothing)."""
        return asyncio.run(self._offsets(event_type))[0]

    def ends(self, event_type: str = "page_view") -> dict[int, int]:
        """Where the partitions end."""
        return asyncio.run(self._offsets(event_type))[1]

    def dead_letters(self, count: int) -> list[Letter]:
        """Wait for ``count`` dead letters; return all that are there."""
        return asyncio.run(self._dead_letters(count))

    async def _send(self, values: Sequence[bytes | None], event_type: str, timestamp_ms: int | None) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers, acks="all", linger_ms=5, max_request_size=4 * 1024 * 1024
        )
        await producer.start()
        try:
            partitions = sorted(await producer.partitions_for(self.topic(event_type)))
            sent = [
                await producer.send(
                    self.topic(event_type),
                    value,
                    key=b"key",
                    partition=partitions[at % len(partitions)],
                    timestamp_ms=timestamp_ms,
                )
                for at, value in enumerate(values)
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def _offsets(self, event_type: str) -> tuple[dict[int, int], dict[int, int]]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers, group_id=self._settings.worker.group_id, enable_auto_commit=False
        )
        await consumer.start()
        try:
            topic = self.topic(event_type)
            partitions = [TopicPartition(topic, each) for each in range(self._settings.kafka.partitions)]
            consumer.assign(partitions)
            committed = {each.partition: await consumer.committed(each) or 0 for each in partitions}
            ends = await consumer.end_offsets(partitions)
            return committed, {each.partition: end for each, end in ends.items()}
        finally:
            await consumer.stop()

    async def _dead_letters(self, count: int) -> list[Letter]:
        consumer = AIOKafkaConsumer(
            self._settings.kafka.dead_letter_topic,
            bootstrap_servers=self._servers,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )
        await consumer.start()
        found: list[Letter] = []
        deadline_s = time.monotonic() + WAIT_S
        quiet = False
        try:
            # One more quiet poll after the last one expected: too many would be seen as well.
            while (len(found) < count and time.monotonic() < deadline_s) or not quiet:
                records = await consumer.getmany(timeout_ms=500)
                quiet = not records
                found += [
                    Letter(each.key, each.value, {name: text.decode() for name, text in each.headers})
                    for part in records.values()
                    for each in part
                ]
        finally:
            await consumer.stop()
        return found


class Proxy:
    """A TCP proxy before a server, which can be cut and restored, or cut itself at a given byte."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._left = {"request": -1, "reply": -1}
        self.cuts = 0
        self._listener: socket.socket | None = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._accept()

    def cut_after(self, direction: str, count_bytes: int) -> None:
        """Cut once, before the byte of ``direction`` ("request", "reply") that is ``count_bytes`` ahead passes."""
        with self._lock:
            self._left[direction] = count_bytes

    def cut(self) -> None:
        """Close all connections and refuse new ones."""
        with self._lock:
            self.cuts += 1
            listener, self._listener = self._listener, None
            sockets, self._sockets = self._sockets, set()
        for each in [listener, *sockets]:
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def restore(self) -> None:
        """Let connections through again, at the same port."""
        self._listener = self._listen(self.port)
        self._accept()

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        return listener

    def _accept(self) -> None:
        threading.Thread(target=self._accept_loop, args=(self._listener,), daemon=True).start()

    def _accept_loop(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            with self._lock:
                self._sockets |= {client, server}
            for source, sink, direction in ((client, server, "request"), (server, client, "reply")):
                threading.Thread(target=self._pump, args=(source, sink, direction), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        while True:
            try:
                data = source.recv(65_536)
                if not data or self._exceeds(direction, len(data)):
                    break
                sink.sendall(data)
            except OSError:
                break
        source.close()
        sink.close()

    def _exceeds(self, direction: str, size_bytes: int) -> bool:
        with self._lock:
            left = self._left[direction]
            if left < 0:
                return False
            self._left[direction] = max(left - size_bytes, -1)
            exceeds = left < size_bytes
        if exceeds:
            self.cut()
        return exceeds


@pytest.fixture
def kafka(settings: Settings) -> Kafka:
    return Kafka(settings)


@pytest.fixture
def collection(settings: Settings) -> Iterator[Collection[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](settings.mongo.uri) as client:
        yield client[settings.mongo.database][settings.mongo.collection]


@pytest.fixture
def database(settings: Settings) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](settings.mongo.uri, tz_aware=True) as client:
        yield client[settings.mongo.database]


@pytest.fixture
def mongo_proxy(settings: Settings) -> Iterator[Proxy]:
    with MongoClient[dict[str, Any]](settings.mongo.uri) as client:
        host, port = client.address or ("127.0.0.1", 27017)
    proxy = Proxy(host, port)
    yield proxy
    proxy.cut()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., ChildProcess]]:
    """Start a worker with these settings, wait until it is ready; all end with the test. ``places``: its recorder's."""
    started: list[ChildProcess] = []

    def start(settings: Settings, *, ready: bool = True, places: Places | None = None) -> ChildProcess:
        name = f"worker-{len(started)}"
        worker = roles.child("worker", settings, tmp_path / f"{name}.log", name=name, places=places)
        started.append(worker.start())
        if ready:
            worker.wait_for_line("worker ready", WAIT_S)
        return worker

    yield start
    for each in started:
        each.send_signal(signal.SIGCONT)
        each.kill()


@pytest.fixture
def start_dashboard(tmp_path: Path) -> Iterator[Callable[..., ChildProcess]]:
    """Start a dashboard with these settings, on ``port`` if it is not the first; all end with the test."""
    started: list[ChildProcess] = []

    def start(settings: Settings, *, port: int | None = None) -> ChildProcess:
        if port is not None:
            settings = structs.replace(settings, dashboard=structs.replace(settings.dashboard, port=port))
        started.append(dashboard_runs.child(settings, tmp_path / f"dashboard-{len(started)}.log").start())
        started[-1].wait_for_line("dashboard ready on", WAIT_S)
        return started[-1]

    yield start
    for each in started:
        each.send_signal(signal.SIGCONT)
        each.kill()


def _wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Wait until a condition holds; fail, saying what was waited for, if it never does."""
    return _wait_until

"""What the tests of the API share: the API as a process, requests byte by byte, and what is in Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from msgspec import Struct, structs

from pipeline.local.process import ChildProcess
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings
from tests.integration import roles

WAIT_S = 45.0
SEED_EVENT = {"event": "page_view", "user_id": "123", "props": {"url": "/home", "ref": "google"}}


class Running(Struct, frozen=True):
    """An API that answers."""

    process: ChildProcess
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def log(self) -> str:
        return self.process.log_path.read_text()


class Answer(Struct, frozen=True):
    """An answer as it came over the wire, header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def with_api(settings: Settings, **changes: object) -> Settings:
    """``settings`` with some of the API's changed."""
    return structs.replace(settings, api=structs.replace(settings.api, **changes))


def child(settings: Settings, tmp_path: Path, name: str = "api", before: Sequence[str] = ()) -> ChildProcess:
    """The API as a process that is not started yet; ``before``: a command that runs it."""
    return roles.child("api", settings, tmp_path / f"{name}.log", name=name, before=before)


@contextlib.contextmanager
def running(settings: Settings, tmp_path: Path, *, kafka: bool = True, before: Sequence[str] = ()) -> Iterator[Running]:
    """An API with these settings that is ready, with ``kafka`` to take events as well; killed in the end."""
    process = child(settings, tmp_path, before=before).start()
    try:
        line = process.wait_for_line("api ready on", WAIT_S)
        api = Running(process, line.rsplit(" ", 1)[1])
        if kafka:
            wait_until(lambda: get(api, "/health/ready").status == 200, "the API is connected to Kafka")
        yield api
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()


def request(
    path: str, body: bytes = b"", headers: dict[str, str] | None = None, method: str = "POST", *, length: bool = True
) -> bytes:
    """A request as bytes; ``length`` False leaves Content-Length out."""
    lines = [f"{method} {path} HTTP/1.1", "Host: api"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(api: Running, path: str) -> Answer:
    with connect(api) as wire:
        wire.sendall(request(path, method="GET"))
        return read_answer(wire)


def post(api: Running, path: str, body: object, **headers: str) -> Answer:
    """POST ``body`` (bytes as they are, all else as JSON); underscores in header names stand for hyphens."""
    named = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    with connect(api) as wire:
        wire.sendall(request(path, data, named))
        return read_answer(wire)


def connect(api: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), timeout=WAIT_S)


def read_answer(wire: socket.socket) -> Answer:
    """Read one answer; an empty one with status 0 where the connection ends before it."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = wire.recv(65_536)
        if not data:
            return Answer(0, {}, received)
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        data = wire.recv(65_536)
        assert data, f"the answer is cut off: {received[:200]!r}"
        body += data
    return Answer(int(first.split(" ")[1]), headers, body)


def metric(api: Running, name: str) -> float:
    """The sum of a metric over its labels, over all of the API's processes."""
    lines = get(api, "/metrics").body.decode().splitlines()
    values = [line for line in lines if line.split("{")[0].split(" ")[0] == name]
    return sum(float(line.rsplit(" ", 1)[1]) for line in values)


def records(settings: Settings) -> list[ConsumerRecord[bytes, bytes]]:
    """All records of the event topics."""
    return asyncio.run(_records(settings))


def messages(settings: Settings) -> list[dict[str, Any]]:
    """All records of the event topics, decoded."""
    return [msgspec.json.decode(record.value or b"") for record in records(settings)]


async def _records(settings: Settings) -> list[ConsumerRecord[bytes, bytes]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, each)
            for topic in event_topics(settings.kafka)
            for each in range(settings.kafka.partitions)
        ]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord[bytes, bytes]] = []
        deadline_s = time.monotonic() + WAIT_S
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            assert time.monotonic() < deadline_s, "the records could not be read in time"
            fetched = await consumer.getmany(timeout_ms=200)
            found += [record for part in fetched.values() for record in part]
        return found
    finally:
        await consumer.stop()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait until ``condition`` holds; fail, saying what was waited for, if it never does."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)

"""The load test against the real API on real Kafka: what the ledger calls accepted is there, and nothing else."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.local.process import ChildProcess
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings, to_environment
from traffic import identity
from traffic.content import Content
from traffic.ledger import Outcome, path_of, read

ROOT = Path(__file__).resolve().parents[3]
READY_S = 30.0
READ_S = 30.0


@pytest.fixture
def api_url(settings: Settings, tmp_path: Path) -> Iterator[str]:
    """An API of this test's own."""
    log = tmp_path / "api.log"
    environment = to_environment(settings)
    with ChildProcess(
        "api", [sys.executable, "-m", "pipeline", "api"], env=environment, log_path=log, cwd=ROOT
    ) as process:
        process.start()
        ready = re.search(r"http://\S+", process.wait_for_line("api ready on ", READY_S))
        assert ready
        yield ready[0]


def locust(url: str, *arguments: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "locust",
            "-f",
            "loadtest",
            "--headless",
            "--spawn-rate",
            "1000",
            "--host",
            url,
            *arguments,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


async def published(settings: Settings) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of every record on the event topics."""
    topics = event_topics(settings.kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, each) for topic in topics for each in range(settings.kafka.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[tuple[bytes | None, bytes | None]] = []
        until = time.monotonic() + READ_S
        while len(records) < sum(ends.values()):
            assert time.monotonic() < until
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records += [(each.key, each.value) for each in batch]
        return records
    finally:
        await consumer.stop()


@pytest.mark.parametrize("processes", [pytest.param((), marks=pytest.mark.slow), ("--processes", "2")])
def test_kafka_holds_exactly_what_the_ledger_calls_accepted(
    settings: Settings, api_url: str, tmp_path: Path, processes: tuple[str, ...]
) -> None:
    folder = tmp_path / "ledger"
    locust(
        api_url, "--offered-load", "1000", "--duration", "2", "--run-number", "9", "--ledger", str(folder), *processes
    )
    accepted: dict[int, int] = {}
    offered = 0
    for stream in range(2 if processes else 1):
        ledger = read(path_of(folder, stream))
        assert ledger.tail is not None
        assert ledger.tail.offered == ledger.records["count"].sum()
        offered += ledger.tail.offered
        for row in ledger.records:
            if row["outcome"] == Outcome.ACCEPTED:
                unix_ms = (ledger.head.epoch_unix_ns + int(row["intended_ns"])) // 1_000_000
                first = int(row["first"])
                accepted |= {identity.pack(9, stream, first + each): unix_ms for each in range(int(row["count"]))}
    assert len(accepted) == offered > 500
    records = asyncio.run(published(settings))
    events = {msgspec.json.decode(value)["props"]["tidemark"]: (key, value) for key, value in records if value}
    assert len(events) == len(records)
    assert events.keys() == accepted.keys()
    spec = read(path_of(folder, 0)).head.spec
    content = Content(spec.traffic, spec.seed, spec.run)
    for packed, (key, value) in events.items():
        _, stream, sequence = identity.unpack(packed)
        event = content.event(stream, sequence, accepted[packed])
        assert msgspec.json.decode(value) == event
        assert key == event["user_id"].encode()


def test_the_api_refuses_every_hostile_request_and_publishes_none(settings: Settings, api_url: str) -> None:
    # All cases but the rarest, and that one: 500 requests, each with its 4xx, or Locust would exit with 1.
    printed = locust(api_url, "--scenario", "hostile", "--offered-load", "170", "--duration", "3")
    assert "hostile: body too large" in printed
    assert asyncio.run(published(settings)) == []


@pytest.mark.slow
def test_a_replay_of_old_events_keeps_their_timestamps(settings: Settings, api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    lines = [
        {"event": "signup", "user_id": f"u{each}", "timestamp": f"2020-02-29T23:59:{each % 60:02d}Z"}
        for each in range(500)
    ]
    file.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    locust(api_url, "--scenario", "replay", "--replay-file", str(file), "--offered-load", "500")
    events = [msgspec.json.decode(value) for _, value in asyncio.run(published(settings)) if value]
    found = {(event["user_id"], event["timestamp"]) for event in events}
    assert found == {(line["user_id"], line["timestamp"]) for line in lines}
    assert len(events) == 500

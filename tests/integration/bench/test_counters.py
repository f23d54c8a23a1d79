"""A short repeat on real servers: every part that worked has reported it, and the figures fit what was done."""

from __future__ import annotations

import asyncio
import contextlib
import json
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.evidence.offered import Offered
from bench.judge.derive import RepeatIdentity
from bench.observe.kafkacounters import KafkaReader
from bench.observe.mongocounters import MongoReader
from bench.run import repeat
from bench.run.progress import Display
from bench.run.repeat import CollectedRepeat
from bench.run.repeatspec import RepeatSpec
from pipeline.settings import Mongo, Settings
from traffic.content import Content
from traffic.spec import Traffic

CELL = CellSpec(
    id="steady",
    kind="steady",
    partitions=2,
    api_processes=2,
    dashboards=1,
    warmup_s=1,
    duration_s=3,
    offered_load=400.0,
)


@pytest.fixture
def wanted(servers) -> RepeatSpec:
    """A repeat of some 1,600 events in 4 s, on two API processes, one worker and one dashboard."""
    settings = Settings()
    settings = msgspec.structs.replace(
        settings,
        kafka=msgspec.structs.replace(
            settings.kafka, bootstrap_servers=servers.kafka_bootstrap_servers, **servers.copies
        ),
        mongo=msgspec.structs.replace(settings.mongo, uri=servers.mongo_uri),
    )
    return RepeatSpec(
        identity=RepeatIdentity(CELL, 1, 1, 77, "2026-11-22T10:00:00Z", 400.0),
        name="tidemark-test-counters",
        settings=settings,
        server_pids=servers.pids,
        traffic=Traffic(),
        seed=1,
        bounds=Bounds(),
        objective=Objective(),
        kafka_counters_urls=servers.kafka_counters_urls,
        mongo_member_uris=servers.mongo_member_uris,
    )


def bytes_sent(wanted: RepeatSpec, offered: Offered) -> int:
    """What the load's events take as JSON, which is what Kafka gets of them at least."""
    spec = wanted.load_spec
    content = Content(spec.traffic, spec.seed, spec.run)
    rows = offered.rows
    unix_ms = (rows["intended"] + offered.epoch_unix_ns) // 1_000_000
    return sum(
        len(content.encode(int(row["stream"]), int(row["first"]) + place, int(at_ms)))
        for row, at_ms in zip(rows, unix_ms, strict=True)
        for place in range(int(row["count"]))
    )


def test_every_server_and_process_reports_its_counters(wanted: RepeatSpec, servers, tmp_path: Path) -> None:
    """Its verdict may be any: a busy machine makes it void, and its counters are there all the same."""
    if not servers.kafka_counters_urls:
        pytest.skip("Kafka is the user's own: it tells nothing of itself")
    with Display(plain=True) as display:
        measured: CollectedRepeat = asyncio.run(repeat.measure(wanted, tmp_path, display))
    result = repeat.judge(wanted, measured)
    repeat.keep(wanted, measured, result, tmp_path)
    assert result.audit.stored_accepted >= 1_500

    roles = {"generator", "api", "kafka", "worker", "mongodb", "dashboard", "harness", "witness"}
    for name, cores in result.cpu_cores_per_role.items():
        parts = result.cpu_user_cores_per_role[name] + result.cpu_system_cores_per_role[name]
        assert cores == pytest.approx(parts)
        assert result.busiest_process_cores_per_role[name] <= cores + 1e-9
    assert {role for role, cores in result.cpu_cores_per_role.items() if cores > 0} == roles
    assert {role for role, rate in result.context_switches_per_s_per_role.items() if rate > 1} == roles
    assert result.write_bytes_per_s_per_role["mongodb"] > 0
    assert set(result.event_loop_lag_ms) == {"api", "worker"}
    assert all(0 <= lag.median_ms <= lag.max_ms < 60_000 for lag in result.event_loop_lag_ms.values())

    sent, events = bytes_sent(wanted, measured.evidence.offered), result.audit.accepted
    table = pq.read_table(tmp_path / "timeseries.parquet").to_pandas()
    assert table["kafka_messages_in"].sum() >= events - 1
    assert table["kafka_bytes_in"].sum() >= sent
    assert table["kafka_bytes_out"].sum() >= sent
    assert table["loopback_bytes"].sum() >= 4 * sent  # to the API, to Kafka, to the worker, to MongoDB
    assert table["mongodb_inserts"].sum() >= events - 1
    assert table["mongodb_journal_bytes"].sum() > 0
    assert table["mongodb_network_in_bytes"].sum() >= sent / 2  # names and numbers are shorter in BSON
    assert 0 < np.nanmax(table["mongodb_cache_used_share"]) <= 1
    noted_ms = measured.evidence.counters.loop_lag["worker"].figures["lag_ms"]
    assert 0 <= np.nanmax(table["event_loop_lag_ms_worker"]) <= noted_ms.max()
    assert not list(tmp_path.glob("loop-lag-*"))

    assert result.kafka_use is not None
    assert result.mongodb_use is not None
    assert result.kafka_use.messages_in_per_s == pytest.approx(result.throughput_events_per_s, rel=0.5)
    assert result.mongodb_use.inserts_per_s == pytest.approx(result.throughput_events_per_s, rel=0.5)
    assert 0 <= result.kafka_use.handlers_busy_share <= 1
    assert result.mongodb_use.write_tickets >= 1
    assert None not in msgspec.structs.astuple(result.kafka_use)
    assert None not in msgspec.structs.astuple(result.mongodb_use)


def test_the_agent_answers_to_reads_alone(servers) -> None:
    if not servers.kafka_counters_urls:
        pytest.skip("Kafka is the user's own: it has no agent of ours")
    assert KafkaReader(*servers.kafka_counters_urls).read() is not None
    headers = {"Origin": "http://127.0.0.1", "Content-Type": "application/json"}
    for asked in (
        {"type": "exec", "mbean": "java.lang:type=Memory", "operation": "gc"},
        {"type": "write", "mbean": "java.lang:type=Memory", "attribute": "Verbose", "value": True},
        {"type": "list"},
    ):
        answer = _post(servers.kafka_counters_urls[0], asked, headers)
        assert answer["status"] == 403, answer
    page = {**headers, "Origin": "http://example.org"}
    read = {"type": "read", "mbean": "java.lang:type=Memory", "attribute": "Verbose"}
    assert _post(servers.kafka_counters_urls[0], read, headers)["status"] == 200
    assert _post(servers.kafka_counters_urls[0], read, page)["status"] == 403


def _post(url: str, asked: dict[str, object], headers: dict[str, str]) -> dict[str, object]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", parts.path, json.dumps(asked), headers)
        return json.loads(connection.getresponse().read())


def test_a_user_who_may_not_ask_mongod_has_no_counters_of_it_and_no_error(servers) -> None:
    """The command is refused, as it is to users without the role clusterMonitor: here because nobody is that user."""
    reader = MongoReader(Mongo(uri=servers.mongo_uri.replace("mongodb://", "mongodb://nobody:wrong@", 1)))
    assert reader.read() is None
    reader.close()

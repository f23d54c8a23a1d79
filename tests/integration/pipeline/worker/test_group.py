"""Workers that come and go: every event is stored once, and each commits only what it owns."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from msgspec import structs
from pymongo.collection import Collection

from bench.recorder import deliverieslog as deliveries
from bench.recorder.recorder import Places
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings
from traffic.recordlog import read_blocks

Start = Callable[..., ChildProcess]
Documents = Collection[dict[str, Any]]
Wait = Callable[..., None]


def messages(first: int, count: int) -> list[bytes | None]:
    return [
        json.dumps({"event": "page_view", "user_id": "1", "props": {"n": n}}).encode()
        for n in range(first, first + count)
    ]


def assert_stored_once(collection: Documents, count: int) -> None:
    numbers = sorted(each["props"]["n"] for each in collection.find({}, {"props.n": 1}))
    assert numbers == list(range(count))


def recorded(start_worker: Start, settings: Settings, path: Path, join_when: Path | None = None, **changes: Any) -> Any:
    """Start a worker whose deliveries log is ``path``; with ``join_when`` it is not ready before that file is there."""
    worker = structs.replace(settings.worker, session_timeout_ms=6_000, **changes)
    places = Places(deliveries=str(path), join_when=str(join_when or ""))
    return start_worker(structs.replace(settings, worker=worker), ready=join_when is None, places=places)


def delivered(path: Path) -> int:
    """How many events this worker has recorded."""
    if not path.exists():
        return 0
    blocks = [block for block in read_blocks(path) if block.kind == deliveries.EVENTS]
    return sum(len(block.payload) // deliveries.EVENT.size for block in blocks)


def assignments(path: Path) -> list[dict[str, list[int]]]:
    return [json.loads(block.payload) for block in read_blocks(path) if block.kind == deliveries.ASSIGNMENT]


def test_sigterm_finishes_and_commits_what_is_in_hand(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait, tmp_path: Path
) -> None:
    kafka.send(messages(0, 20_000))
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    worker = recorded(start_worker, settings, first, batch_max_events=200)
    wait_until(lambda: delivered(first) > 0, "the first write")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    stored = collection.count_documents({})
    assert 0 < stored < 20_000
    assert sum(kafka.committed().values()) == stored == delivered(first)
    recorded(start_worker, settings, second)
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert_stored_once(collection, 20_000)
    assert delivered(first) + delivered(second) == 20_000, "nothing was read twice"


class Producing:
    """Sends messages all the time, until asked to stop."""

    def __init__(self, kafka: Any) -> None:
        self._kafka = kafka
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._kafka.send(messages(self.sent, 300))
            self.sent += 300


def test_one_joins_and_leaves_and_one_is_killed(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait, tmp_path: Path
) -> None:
    logs = [tmp_path / f"deliveries-{name}.log" for name in ("stays", "leaves", "killed")]
    recorded(start_worker, settings, logs[0])
    with Producing(kafka) as producing:
        wait_until(lambda: delivered(logs[0]) > 0, "the first events")
        leaves = recorded(start_worker, settings, logs[1])
        wait_until(lambda: delivered(logs[1]) > 0, "events of the one that leaves")
        leaves.send_signal(signal.SIGTERM)
        assert leaves.wait(20) == 0
        killed = recorded(start_worker, settings, logs[2], batch_max_events=50)
        wait_until(lambda: delivered(logs[2]) > 0, "events of the one that is killed")
        killed.kill()
        killed_ns = time.monotonic_ns()
        before = delivered(logs[0])
        wait_until(lambda: delivered(logs[0]) > before, "events after the kill")
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert_stored_once(collection, producing.sent)
    last_ns = max(deliveries.EVENTS_HEADER.unpack(block.header)[1] for block in read_blocks(logs[0]) if block.kind == 1)
    assert last_ns > killed_ns
    assert len(assignments(logs[0])) >= 4, "alone, with one, alone, with another, and alone again"
    everything = assignments(logs[0])[0]
    for path in logs[1:]:
        shared = assignments(path)[-1]
        assert shared
        assert shared != everything


@pytest.mark.slow
def test_worker_that_was_thrown_out_of_its_group_rejoins_and_commits_nothing_it_lost(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait, tmp_path: Path
) -> None:
    kafka.send(messages(0, 30_000))
    frozen_log, other_log = tmp_path / "frozen.log", tmp_path / "other.log"
    frozen = recorded(start_worker, settings, frozen_log, batch_max_events=100)
    wait_until(lambda: delivered(frozen_log) > 0, "the first write")
    frozen.send_signal(signal.SIGSTOP)
    assert delivered(frozen_log) < 30_000
    other = recorded(start_worker, settings, other_log)
    wait_until(lambda: kafka.committed() == kafka.ends(), "the other one's commits")
    other.send_signal(signal.SIGTERM)
    assert other.wait(20) == 0
    # The group is empty now: Kafka would take a commit of the one that it threw out.
    frozen.send_signal(signal.SIGCONT)
    joined = len(assignments(frozen_log))
    wait_until(lambda: len(assignments(frozen_log)) > joined, "a new assignment")
    assert kafka.committed() == kafka.ends()
    kafka.send(messages(30_000, 300))
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert_stored_once(collection, 30_300)


@pytest.mark.slow
def test_more_workers_than_partitions_leave_one_idle_and_it_says_so(
    settings: Settings, start_worker: Start, wait_until: Wait, kafka: Any, collection: Documents, tmp_path: Path
) -> None:
    logs = [tmp_path / f"deliveries-{at}.log" for at in range(settings.kafka.partitions * 3 + 1)]
    narrow = structs.replace(settings, kafka=structs.replace(settings.kafka, event_types=(), partitions=3))
    for path in logs[:4]:
        recorded(start_worker, narrow, path)
    wait_until(
        lambda: sorted(len(assignments(path)[-1].get(kafka.topic("generic"), [])) for path in logs[:4]) == [0, 1, 1, 1],
        "one partition each, and none for one",
    )
    kafka.send(messages(0, 300), "generic")
    wait_until(lambda: kafka.committed("generic") == kafka.ends("generic"), "everything committed")
    assert_stored_once(collection, 300)
    assert sorted(delivered(path) for path in logs[:4]) == [0, 100, 100, 100]


def test_workers_that_wait_to_join_share_the_partitions_at_once_and_end_when_asked_to(
    settings: Settings, kafka: Any, collection: Documents, start_worker: Start, wait_until: Wait, tmp_path: Path
) -> None:
    kafka.send(messages(0, 300))
    gate, logs = tmp_path / "gate", [tmp_path / f"{number}.log" for number in range(2)]
    kept_out = recorded(start_worker, settings, tmp_path / "out.log", tmp_path / "never")
    workers = [recorded(start_worker, settings, log, gate) for log in logs]
    for each in (kept_out, *workers):
        each.wait_for_line("worker waits for", 30)
    assert collection.count_documents({}) == 0
    gate.touch()
    wait_until(lambda: kafka.committed() == kafka.ends(), "everything committed")
    assert [len(assignments(log)) for log in logs] == [1, 1], "one rebalance for both"
    kept_out.send_signal(signal.SIGTERM)
    assert kept_out.wait(20) == 0
    assert not assignments(tmp_path / "out.log")

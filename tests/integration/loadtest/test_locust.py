"""The load test as users start it: real Locust processes against a small real server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.integration.loadtest.loadtest_runs import (
    ROOT,
    check_whole,
    command,
    events_with,
    free_port,
    ledgers,
    run,
    start,
    wait_for,
)
from tests.integration.loadtest.loadtest_target import RESET, Behaviour, Served, Target
from traffic import identity, schedule
from traffic.content import Content
from traffic.ledger import Outcome
from traffic.spec import LoadSpec, Traffic


def test_the_events_that_arrive_are_those_of_the_ledger_and_of_the_content(tmp_path: Path) -> None:
    with Target() as target:
        printed = run(
            target, "--offered-load", "2000", "--duration", "2", "--run-number", "77", "--ledger", str(tmp_path)
        )
    (ledger,) = ledgers(tmp_path)
    check_whole(ledger)
    assert ledger.head.spec.run == 77
    assert ledger.tail is not None
    assert ledger.tail.offered == schedule.offered(ledger.head.spec, 0, 1)
    assert sorted(target.tidemarks) == sorted(events_with(ledger, Outcome.ACCEPTED))
    assert {request.path for request in target.served} == {"/track", "/track/batch"}
    assert f"{ledger.tail.offered:,} events offered" in printed
    # Service time has entries of its own, which the aggregate does not count.
    assert printed.count("(service time)") > 0
    assert int(re.findall(r"Aggregated +(\d+)", printed)[-2]) == len(target.served)
    # Every single event is the one that the audit would make for it.
    content = Content(Traffic(), seed=1, run=77)
    intended_ns = {int(row["first"]): int(row["intended_ns"]) for row in ledger.records}
    for request in target.served:
        first = identity.unpack(request.events[0]["props"]["tidemark"]).sequence
        unix_ms = (ledger.head.epoch_unix_ns + intended_ns[first]) // 1_000_000
        assert list(request.events) == [content.event(0, first + each, unix_ms) for each in range(len(request.events))]


def test_two_processes_send_every_sequence_once_and_the_same_schedule_as_one(tmp_path: Path) -> None:
    with Target() as target:
        run(
            target,
            *("--offered-load", "2000", "--duration", "2", "--seed", "5"),
            *("--processes", "2", "--ledger", str(tmp_path)),
        )
    both = ledgers(tmp_path, 2)
    for ledger in both:
        check_whole(ledger)
    assert [(ledger.head.index, ledger.head.count) for ledger in both] == [(0, 2), (1, 2)]
    assert both[0].head.epoch_monotonic_ns == both[1].head.epoch_monotonic_ns
    assert both[0].head.pid != both[1].head.pid
    assert sorted(target.tidemarks) == sorted(each for one in both for each in events_with(one, Outcome.ACCEPTED))
    assert len(set(target.tidemarks)) == len(target.tidemarks)
    alone = LoadSpec(offered_load_events_per_s=2000, duration_s=2, seed=5)
    intended = np.sort(np.concatenate([one.records["intended_ns"] for one in both]))
    due = np.sort(np.concatenate([chunk.intended_ns for chunk in schedule.requests(alone, 0, 1)]))
    assert intended.tolist() == due.tolist()


def test_begin_when_starts_everything_and_then_waits_for_the_file(tmp_path: Path) -> None:
    gate, folder = tmp_path / "gate", tmp_path / "ledger"
    options = ("--headless", "--offered-load", "500", "--duration", "1", "--ledger", str(folder))
    with Target() as target:
        generator = start(*options, "--begin-when", str(gate), target=target)
        time.sleep(4)  # longer than it takes to start
        assert generator.poll() is None
        assert not folder.exists()
        touched_ns = time.monotonic_ns()
        gate.touch()
        assert generator.wait(timeout=30) == 0
        assert target.tidemarks
    (ledger,) = ledgers(folder)
    check_whole(ledger)
    assert ledger.head.epoch_monotonic_ns > touched_ns


def stalled_run(tmp_path: Path, senders: str) -> tuple[Target, NDArray[np.void], dict[str, dict[str, Any]]]:
    """A run in which the server answers nobody for a second; return server, ledger and Locust's statistics."""
    behaviour = Behaviour(stall_at=60, stall_s=1.0)
    with Target(behaviour) as target:
        run(
            target,
            *("--scenario", "visitors", "--offered-load", "100", "--arrivals", "constant", "--duration", "3"),
            *("--senders", senders, "--ledger", str(tmp_path / "ledger")),
            *("--json-file", str(tmp_path / "stats")),
        )
    (ledger,) = ledgers(tmp_path / "ledger")
    check_whole(ledger)
    assert target.stalled_ns is not None
    began_ns, ended_ns = (each - ledger.head.epoch_monotonic_ns for each in target.stalled_ns)
    records = ledger.records
    due_meanwhile = records[(records["intended_ns"] > began_ns) & (records["intended_ns"] < ended_ns)]
    statistics = {each["name"]: each for each in json.loads((tmp_path / "stats.json").read_text())}
    due_in_schedule = np.concatenate([chunk.intended_ns for chunk in schedule.requests(ledger.head.spec, 0, 1)])
    expected = ((due_in_schedule > began_ns) & (due_in_schedule < ended_ns)).sum()
    # The load that was offered meanwhile is that of the schedule, and every one of them waited for the end.
    assert len(due_meanwhile) == expected > 50
    assert (due_meanwhile["answered_ns"] >= ended_ns).all()
    response_ms = (records["answered_ns"] - records["intended_ns"]).mean() / 1e6
    reported_ms = statistics["/track"]["total_response_time"] / statistics["/track"]["num_requests"]
    assert reported_ms == pytest.approx(response_ms, rel=1e-6)
    service_ms = (records["answered_ns"] - records["sent_ns"]).mean() / 1e6
    service = statistics["/track (service time)"]
    assert service["total_response_time"] / service["num_requests"] == pytest.approx(service_ms, rel=1e-6)
    return target, due_meanwhile, statistics


def test_a_stalled_server_slows_nothing_down_while_there_are_senders(tmp_path: Path) -> None:
    target, due_meanwhile, _ = stalled_run(tmp_path, senders="200")
    assert target.stalled_ns is not None
    arrived = [request for request in target.served if target.stalled_ns[0] < request.arrived_ns < target.stalled_ns[1]]
    assert len(arrived) == pytest.approx(len(due_meanwhile), abs=5)


def test_response_time_includes_a_stall_that_kept_all_senders_busy(tmp_path: Path) -> None:
    target, due_meanwhile, statistics = stalled_run(tmp_path, senders="2")
    assert target.stalled_ns is not None
    arrived = [request for request in target.served if target.stalled_ns[0] < request.arrived_ns < target.stalled_ns[1]]
    assert len(arrived) <= 2
    # Service time knows nothing of those that had to wait for a sender.
    waited = statistics["/track"]["total_response_time"]
    assert waited > 5 * statistics["/track (service time)"]["total_response_time"]
    assert len(due_meanwhile) > 10 * len(arrived)


def test_a_reset_leaves_events_in_doubt_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    with Target(Behaviour(status=lambda number: RESET if number % 5 == 0 else 200)) as target:
        printed = run(target, "--offered-load", "2000", "--duration", "2", "--ledger", str(tmp_path))
    (ledger,) = ledgers(tmp_path)
    check_whole(ledger)
    assert max(Counter(target.tidemarks).values()) == 1
    reset = [event["props"]["tidemark"] for request in target.served if not request.status for event in request.events]
    assert reset
    assert sorted(events_with(ledger, Outcome.IN_DOUBT)) == sorted(reset)
    assert f"in doubt {len(reset):,}" in printed


def test_a_connection_that_the_server_closes_silently_makes_no_event_arrive_twice(tmp_path: Path) -> None:
    load = ("--scenario", "visitors", "--offered-load", "200", "--duration", "2")  # an event a request: many requests
    with Target(Behaviour(close_unannounced=True)) as target:
        run(target, *load, "--ledger", str(tmp_path))
    (ledger,) = ledgers(tmp_path)
    check_whole(ledger)
    assert max(Counter(target.tidemarks).values()) == 1
    assert set(events_with(ledger, Outcome.ACCEPTED)) <= set(target.tidemarks)
    # An idle connection is looked at before it is used: only one that is closed at that very moment is hit.
    assert len(events_with(ledger, Outcome.ACCEPTED)) > 0.9 * len(events_with(ledger, *Outcome))


def test_refusals_and_partly_rejected_batches_are_rejected_in_the_ledger(tmp_path: Path) -> None:
    behaviour = Behaviour(
        status=lambda number: {3: 503, 4: 429, 5: 400}.get(number % 10, 200), rejected=lambda number: (0, number % 7)
    )
    with Target(behaviour) as target:
        run(target, "--scenario", "sdk", "--offered-load", "4000", "--duration", "2", "--ledger", str(tmp_path))
    (ledger,) = ledgers(tmp_path)
    check_whole(ledger)
    accepted = []
    for number, request in enumerate(target.served):
        refused = {0, number % 7} if request.status == 200 else set(range(len(request.events)))
        accepted += [event["props"]["tidemark"] for index, event in enumerate(request.events) if index not in refused]
    assert sorted(events_with(ledger, Outcome.ACCEPTED)) == sorted(accepted)
    assert not events_with(ledger, Outcome.IN_DOUBT, Outcome.UNSENT)


def test_a_timed_out_request_is_in_doubt_and_a_late_one_unsent(tmp_path: Path) -> None:
    with Target(Behaviour(stall_at=20, stall_s=2.0)) as target:
        printed = run(
            target,
            *("--scenario", "visitors", "--offered-load", "50", "--duration", "2", "--senders", "1"),
            *("--request-timeout", "0.5", "--unsent-after", "0.2", "--ledger", str(tmp_path)),
        )
    (ledger,) = ledgers(tmp_path)
    check_whole(ledger)
    in_doubt, unsent = events_with(ledger, Outcome.IN_DOUBT), events_with(ledger, Outcome.UNSENT)
    assert in_doubt
    assert unsent
    assert set(in_doubt) <= set(target.tidemarks)
    assert not set(unsent) & set(target.tidemarks)
    assert "unsent: every sender was busy" in printed


def test_hostile_requests_succeed_with_a_4xx() -> None:
    with Target(Behaviour(status=lambda number: (400, 413, 415, 422)[number % 4])) as target:
        run(target, "--scenario", "hostile", "--offered-load", "80", "--duration", "1")
    assert len(target.served) > 20


def test_hostile_requests_fail_with_anything_else() -> None:
    with Target(Behaviour(status=lambda number: {20: 200, 21: 500}.get(number, 400))) as target:
        printed = run(target, "--scenario", "hostile", "--offered-load", "80", "--duration", "1", code=1)
    assert printed.count("to a request that deserves a 4xx") == 2


@pytest.mark.slow
def test_a_replay_sends_each_line_once_with_its_own_timestamp_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    lines = [
        {"event": "old", "user_id": f"u{each}", "props": {"n": each}, "timestamp": f"2020-01-01T00:00:{each % 60:02d}Z"}
        for each in range(3000)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    with Target() as target:
        run(target, "--scenario", "replay", "--replay-file", str(file), "--offered-load", "3000", "--processes", "2")
    arrived = sorted(
        (event for request in target.served for event in request.events), key=lambda each: each["props"]["n"]
    )
    assert [each["timestamp"] for each in arrived] == [each["timestamp"] for each in lines]
    assert [each["user_id"] for each in arrived] == [each["user_id"] for each in lines]


@pytest.mark.parametrize("processes", [(), pytest.param(("--processes", "2"), marks=pytest.mark.slow)])
def test_sigterm_ends_a_test_with_a_whole_ledger(tmp_path: Path, processes: tuple[str, ...]) -> None:
    with Target() as target:
        locust = start("--headless", *processes, "--ledger", str(tmp_path), target=target)
        try:
            wait_for(lambda: len(target.served) > 40)
            locust.send_signal(signal.SIGTERM)
            assert locust.wait(timeout=30) == 0
        finally:
            locust.kill()
            locust.wait()
    found = ledgers(tmp_path, 2 if processes else 1)
    for ledger in found:
        check_whole(ledger)
    accepted = [each for ledger in found for each in events_with(ledger, Outcome.ACCEPTED)]
    assert set(accepted) <= set(target.tidemarks)
    assert set(target.tidemarks) <= {each for ledger in found for each in events_with(ledger, *Outcome)}


@pytest.mark.slow
def test_a_killed_generators_ledger_can_be_read(tmp_path: Path) -> None:
    with Target() as target:
        locust = start("--headless", "--ledger", str(tmp_path), target=target)
        try:
            wait_for(lambda: len(target.served) > 60)
        finally:
            locust.kill()
            locust.wait()
    (ledger,) = ledgers(tmp_path)
    assert ledger.tail is None
    assert len(ledger.records) > 0
    assert set(events_with(ledger, Outcome.ACCEPTED)) <= set(target.tidemarks)


@pytest.mark.slow
def test_a_test_whose_worker_died_is_reported_as_incomplete(tmp_path: Path) -> None:
    port = str(free_port())
    with Target() as target:
        shared = ("--master-port", port)
        ports = ("--master-bind-port", port, "--master-bind-host", "127.0.0.1")
        master = subprocess.Popen(
            command(
                target,
                *("--headless", "--master", *ports, "--expect-workers", "2", "--duration", "5"),
                *("--ledger", str(tmp_path)),
            ),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        workers = [start("--worker", *shared) for _ in range(2)]
        try:
            wait_for(lambda: {identity.unpack(each).stream for each in target.tidemarks} == {0, 1})
            workers[0].kill()
            printed, _ = master.communicate(timeout=50)
        finally:
            for process in (master, *workers):
                process.kill()
                process.wait()
    assert master.returncode == 3
    assert "NOT WHOLE: process" in printed
    tails = [ledger.tail for ledger in ledgers(tmp_path, 2)]
    assert tails.count(None) == 1


def test_a_wrong_option_ends_the_command_before_anything_starts() -> None:
    with Target() as target:
        printed = run(target, "--key-skew", "7", code=2)
        assert "--key-skew='7' cannot be used: write a number from 0 to 1" in printed
        assert "invalid choice" in run(target, "--profile", "wavy", code=2)
        assert "Did you mean '--offered-load'" in run(target, "--offered-lod", "7", code=2)
    assert not target.served


def test_the_ui_starts_stops_and_starts_again_without_any_option() -> None:
    port = free_port()
    with Target() as target:
        locust = start("--web-host", "127.0.0.1", "--web-port", str(port))
        try:
            page = wait_for(lambda: _page(port, "/"))
            assert "http://localhost:8000" in page
            # A wrong value in the form starts nothing and says why, and the next start works.
            refused = _press_start(port, target, key_skew="9")
            assert not refused["success"]
            assert refused["message"] == "--key-skew='9' cannot be used: write a number from 0 to 1"
            first = _swarm(port, target, key_skew="")
            assert _page(port, "/stop", b"")
            wait_for(lambda: _state(port) == "stopped")
            stopped_with = len(target.served)
            time.sleep(0.5)
            assert len(target.served) == stopped_with
            second = _swarm(port, target, scenario="sdk")
        finally:
            locust.terminate()
            assert locust.wait(timeout=30) in (0, 1)
    assert {identity.unpack(each).run for each in _tidemarks(first)} == {0}
    assert {identity.unpack(each).run for each in _tidemarks(second)} == {1}
    assert {request.path for request in second} == {"/track/batch"}


def _swarm(port: int, target: Target, **options: str) -> list[Served]:
    """Press Start in the UI; return the first requests that arrive then."""
    before = len(target.served)
    answer = _press_start(port, target, **options)
    assert answer["success"], answer
    wait_for(lambda: len(target.served) > before + 20)
    return target.served[before : before + 20]


def _press_start(port: int, target: Target, **options: str) -> dict[str, Any]:
    form = {"user_count": "64", "spawn_rate": "100", "host": target.url, **options}
    answer: dict[str, Any] = json.loads(_page(port, "/swarm", urllib.parse.urlencode(form).encode()) or "{}")
    return answer


def _state(port: int) -> str:
    state: str = json.loads(_page(port, "/stats/requests") or '{"state": "away"}')["state"]
    return state


def _tidemarks(requests: list[Served]) -> list[int]:
    return [event["props"]["tidemark"] for request in requests for event in request.events]


def _page(port: int, path: str, form: bytes | None = None) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data=form, timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except (ConnectionError, urllib.error.URLError):
        return None

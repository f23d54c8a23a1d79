"""The API's life as processes: it starts, drains, is watched over, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from pipeline.settings import Settings, to_environment
from tests.integration.ingest_api import (
    SEED_EVENT,
    WAIT_S,
    Running,
    child,
    connect,
    messages,
    metric,
    post,
    read_answer,
    request,
    running,
    wait_until,
    with_api,
)

CLIENTS = 8
BATCH_EVENTS = 25


class Load:
    """Clients that send batches one after the other, and note which events were answered as accepted."""

    def __init__(self, api: Running) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,), daemon=True) for number in range(CLIENTS)]
        self.accepted: list[str] = []
        self.refused = 0
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _send(self, client: int) -> None:
        batch = 0
        while not self._stop.is_set():
            ids = [f"{client}-{batch}-{place}" for place in range(BATCH_EVENTS)]
            batch += 1
            events = [{"event": "page_view", "user_id": each, "event_id": each} for each in ids]
            try:
                answer = post(self._api, "/track/batch", {"events": events})
            except OSError:
                return
            with self._lock:
                if answer.status == 200 and not answer.json["rejected"]:
                    self.accepted += ids
                else:
                    self.refused += 1


@pytest.mark.parametrize("processes", [1, 2])
def test_sigterm_under_load_loses_nothing_that_was_accepted(settings: Settings, tmp_path: Path, processes: int) -> None:
    with running(with_api(settings, processes=processes), tmp_path) as api:
        load = Load(api)
        try:
            wait_until(lambda: len(load.accepted) > 2_000, "load is accepted")
            api.process.send_signal(signal.SIGTERM)
            assert api.process.wait(WAIT_S) == 0
        finally:
            load.stop()
    stored = [message["event_id"] for message in messages(settings)]
    assert set(load.accepted) <= set(stored)
    assert len(stored) == len(set(stored))


@pytest.mark.parametrize("processes", [1, 2])
def test_connections_wait_for_an_api_that_stands_still(settings: Settings, tmp_path: Path, processes: int) -> None:
    with (
        running(with_api(settings, processes=processes), tmp_path, kafka=False) as api,
        contextlib.ExitStack() as open_,
    ):
        api.process.send_signal(signal.SIGSTOP, group=True)
        try:
            for _ in range(500):
                open_.enter_context(connect(api))  # a time-out where the kernel keeps no more of them
        finally:
            api.process.send_signal(signal.SIGCONT, group=True)


def test_a_request_in_hand_is_finished_and_answered(settings: Settings, tmp_path: Path) -> None:
    whole = request("/track", b'{"event":"page_view","user_id":"1","event_id":"in hand"}')
    with running(settings, tmp_path) as api, connect(api) as wire, connect(api) as idle:
        wire.sendall(whole[:-10])
        wait_until(lambda: metric(api, "tidemark_api_in_flight_bytes") > 0, "the body is being read")
        api.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""  # a connection with nothing in hand is closed at once
        with pytest.raises(ConnectionRefusedError):
            connect(api)
        wire.sendall(whole[-10:])
        answer = read_answer(wire)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert api.process.wait(WAIT_S) == 0
    assert [message["event_id"] for message in messages(settings)] == ["in hand"]


def test_a_request_that_never_ends_does_not_hold_up_the_end(settings: Settings, tmp_path: Path) -> None:
    patient = with_api(settings, request_timeout_s=600.0, shutdown_timeout_s=3.0)
    with running(patient, tmp_path) as api, connect(api) as wire:
        wire.sendall(request("/track", b"x" * 100)[:-50])
        wait_until(lambda: metric(api, "tidemark_api_in_flight_bytes") > 0, "the body is being read")
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(WAIT_S) == 0
        assert read_answer(wire).status != 200


@pytest.mark.parametrize("processes", [1, 2])
def test_a_taken_port_is_reported_with_the_remedy(tmp_path: Path, processes: int) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:  # as another API's might be
        port = other.getsockname()[1]
        api = child(with_api(Settings(), port=port, processes=processes), tmp_path).start()
        assert api.wait(WAIT_S) == 2
        assert f"PIPELINE_API_PORT={port}" in api.log_path.read_text()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"max_in_flight_events": 10}, "PIPELINE_API_MAX_IN_FLIGHT_EVENTS"),
        ({"max_in_flight_bytes": 1_000}, "PIPELINE_API_MAX_IN_FLIGHT_BYTES"),
        ({"host": "203.0.113.1"}, "PIPELINE_API_HOST"),
        ({"host": "nowhere.invalid"}, "PIPELINE_API_HOST"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, change: dict[str, object], names: str) -> None:
    api = child(with_api(Settings(), **change), tmp_path).start()
    assert api.wait(WAIT_S) == 2
    assert names in api.log_path.read_text()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test's own, to see what is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def siblings(api: Running) -> list[int]:
    """The process ids of the API's own children; none where it has ended."""
    try:
        return [each.pid for each in psutil.Process(api.process.pid).children()]
    except psutil.NoSuchProcess:
        return []


def test_metrics_are_those_of_all_processes(settings: Settings, tmp_path: Path, temporary: Path) -> None:
    with running(with_api(settings, processes=2), tmp_path) as api:
        assert metric(api, "tidemark_api_processes") == 2
        for _ in range(40):
            assert post(api, "/track", SEED_EVENT).status == 200
        (directory,) = temporary.iterdir()
        assert len(list(directory.glob("counter_*.db"))) == 2  # both had something to count
        assert {metric(api, "tidemark_api_events_accepted_total") for _ in range(10)} == {40}
        assert directory.stat().st_mode & 0o077 == 0
        assert api.process.stop(WAIT_S) == 0
    assert not list(temporary.iterdir())


def test_a_process_that_dies_is_replaced(settings: Settings, tmp_path: Path, temporary: Path) -> None:
    with running(with_api(settings, processes=2), tmp_path) as api:
        accepted = 20
        for _ in range(accepted):
            assert post(api, "/track", SEED_EVENT).status == 200
        killed, spared = siblings(api)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(siblings(api)) == 2 and killed not in siblings(api), "another process is there")
        assert spared in siblings(api)
        wait_until(lambda: metric(api, "tidemark_api_kafka_connected") == 2, "both are connected")
        assert metric(api, "tidemark_api_processes") == 2
        assert metric(api, "tidemark_api_events_accepted_total") == accepted
        assert post(api, "/track", SEED_EVENT).status == 200
        assert api.process.stop(WAIT_S) == 0
    assert not list(temporary.iterdir())


def test_when_processes_go_on_dying_all_are_stopped(settings: Settings, tmp_path: Path) -> None:
    with running(with_api(settings, processes=2), tmp_path) as api:

        def kill_one() -> bool:
            for each in siblings(api)[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            return not api.process.running()

        children = siblings(api)
        wait_until(kill_one, "the API has given up")
        assert api.process.returncode == 3
        assert not any(psutil.pid_exists(each) for each in children)


def test_no_process_outlives_a_killed_parent(settings: Settings, tmp_path: Path, temporary: Path) -> None:
    with running(with_api(settings, processes=2), tmp_path) as guarded:
        command = psutil.Process(guarded.process.pid).cmdline()
        assert guarded.process.stop(WAIT_S) == 0
    # Without the guard of ChildProcess, which would end them: they must notice by themselves.
    environment = {**os.environ, **to_environment(with_api(settings, processes=2))}
    with subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[4], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith(b"api ready on")
        children = psutil.Process(parent.pid).children()
        parent.kill()
        gone, alive = psutil.wait_procs(children, timeout=WAIT_S)
    assert (len(gone), alive) == (2, [])
    assert not list(temporary.iterdir())


def test_what_a_killed_group_left_is_removed_by_the_next(settings: Settings, tmp_path: Path, temporary: Path) -> None:
    two = with_api(settings, processes=2)
    with running(two, tmp_path) as killed:
        killed.process.kill()
    (left,) = temporary.iterdir()
    with running(two, tmp_path) as first, running(two, tmp_path) as second:
        assert not left.exists()
        assert metric(first, "tidemark_api_processes") == metric(second, "tidemark_api_processes") == 2


def test_beyond_the_bound_on_connections_the_newest_are_served(settings: Settings, tmp_path: Path) -> None:
    few_files = ("sh", "-c", 'ulimit -n 160 && exec "$@"', "sh")  # less 100 for the process itself
    with running(settings, tmp_path, before=few_files) as api, contextlib.ExitStack() as opened:
        wires = [opened.enter_context(connect(api)) for _ in range(70)]
        wires[0].settimeout(WAIT_S)
        assert wires[0].recv(1) == b""  # it waited longest: closed
        for wire in wires[-10:]:
            wire.sendall(request("/track", b'{"event":"page_view","user_id":"1"}'))
            assert read_answer(wire).status == 200


def test_a_request_that_gives_way_to_others_is_answered(settings: Settings, tmp_path: Path) -> None:
    few_files = ("sh", "-c", 'ulimit -n 160 && exec "$@"', "sh")
    with running(settings, tmp_path, before=few_files) as api, contextlib.ExitStack() as opened:
        slow = opened.enter_context(connect(api))
        slow.sendall(request("/track", b"{}")[:-1])
        wait_until(lambda: metric(api, "tidemark_api_in_flight_bytes") > 0, "the body is being read")
        for _ in range(70):
            opened.enter_context(connect(api))
        answer = read_answer(slow)
        assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
        assert metric(api, "tidemark_api_in_flight_bytes") == 0
        assert "Traceback" not in api.log

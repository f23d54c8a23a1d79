"""The recorder: it writes what it was asked for, where it was asked to, and nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.evidence import deliveries
from bench.observe import looplag
from bench.recorder import laglog, recorder
from bench.recorder.recorder import Places, Recorder
from pipeline.errors import UsageError
from traffic.recordlog import RecordLogWriter

LATER_NS = 1 << 60


def places(folder: Path) -> Places:
    return Places(str(folder / "worker-1.log"), str(folder / "loop-lag-worker"), str(folder / "gate"))


def test_places_travel_in_the_environment(tmp_path: Path) -> None:
    assert Places.read(places(tmp_path).to_environment()) == places(tmp_path)
    assert Places.read({}) == Places()


def test_what_a_worker_stored_and_how_late_it_woke_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laglog, "NOTE_NS", 0)
    made = Recorder(places(tmp_path), "worker")
    made.assigned({"events_generic": [0, 1]})
    made.stored(10, 20, [bytes(range(12)), bytes(12)], [5, 6])
    made.woke(LATER_NS, 7_000_000)
    made.close()
    path = tmp_path / "worker-1.log"
    assert deliveries.assignment(path) == {"events_generic": (0, 1)}
    rows = deliveries.load([path], [None]).rows
    assert (rows["fetched_ns"].tolist(), rows["acknowledged_ns"].tolist()) == ([10, 10], [20, 20])
    assert rows["record_timestamp_ms"].tolist() == [5, 6]
    assert [each.name for each in looplag.logs_of(tmp_path, "worker")] == [f"loop-lag-worker.{os.getpid()}"]
    assert looplag.use(looplag.load(tmp_path), LATER_NS - 1, LATER_NS + 1)["worker"].max_ms == 7


def test_without_places_nothing_is_written_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = Recorder(Places(), "worker")
    asyncio.run(asyncio.wait_for(made.before_join(lambda: False), 5))
    made.assigned({})
    made.stored(1, 2, [bytes(12)], [3])
    made.woke(LATER_NS, 1)
    made.close()
    assert not list(tmp_path.iterdir())


async def test_a_worker_joins_once_the_file_exists_or_it_is_asked_to_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Recorder(Places(join_when=str(tmp_path / "gate")), "worker")
    waiting = asyncio.ensure_future(made.before_join(lambda: False))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    assert capsys.readouterr().out == f"{recorder.WAITS} {tmp_path / 'gate'}\n"
    (tmp_path / "gate").touch()
    await asyncio.wait_for(waiting, 5)
    (tmp_path / "gate").unlink()
    await asyncio.wait_for(made.before_join(lambda: True), 5)


def test_a_deliveries_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    asked = Places(deliveries=str(tmp_path / "no such folder" / "log"))
    with pytest.raises(UsageError, match=r"TIDEMARK_RECORDER_DELIVERIES=.*cannot be written"):
        Recorder(asked, "worker")
    Recorder(asked, "api")  # it stores nothing


def test_a_disk_that_is_full_ends_the_record_of_the_lag_and_not_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordLogWriter, "append", full)
    monkeypatch.setattr(laglog, "NOTE_NS", 0)
    made = Recorder(Places(loop_lag=str(tmp_path / "lag")), "api")
    for at_ns in (1, 2, 3):
        made.woke(LATER_NS + at_ns, 5)
    made.close()
    assert caplog.text.count("no longer recorded") == 1


def test_it_brings_no_large_library_into_the_process_that_is_measured() -> None:
    large = ("numpy", "pandas", "pyarrow", "pymongo", "psutil", "rich")
    code = f"import sys, {recorder.__name__}; print([each for each in {large!r} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"

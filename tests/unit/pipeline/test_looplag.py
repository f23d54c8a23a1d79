"""The event loop's lag: what keeps a loop busy is seen, noted and read again."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import numpy as np
import pytest

from bench.observe import looplag as readers
from pipeline import looplag
from pipeline.errors import UsageError
from pipeline.messages.recordlog import RecordLogWriter

S = 1_000_000_000
SETTING = "PIPELINE_API_LOOP_LAG_PATH"


async def test_a_loop_that_is_blocked_is_seen_to_be_late(tmp_path: Path) -> None:
    seen: list[float] = []
    before_ns = time.monotonic_ns()
    async with looplag.watching(seen.append, str(tmp_path / "loop-lag-api"), SETTING):
        await asyncio.sleep(0.05)
        time.sleep(0.3)  # noqa: ASYNC251 - that is what it is about
        await asyncio.sleep(0.3)
    assert max(seen) >= 0.3 - looplag.PERIOD_S
    assert [path.name for path in readers.logs_of(tmp_path, "api")] == [f"loop-lag-api.{os.getpid()}"]
    lags = readers.use(readers.load(tmp_path), before_ns, time.monotonic_ns())
    assert set(lags) == {"api"}
    assert lags["api"].max_ms == pytest.approx(max(seen) * 1e3, rel=1e-6)


def test_without_a_path_nothing_is_written_and_one_that_cannot_be_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch(path: str) -> None:
        async with looplag.watching(lambda _: None, path, SETTING):
            await asyncio.sleep(0)

    monkeypatch.chdir(tmp_path)
    asyncio.run(watch(""))
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match=SETTING):
        asyncio.run(watch(str(tmp_path / "no such folder" / "lag")))


async def test_a_disk_that_is_full_ends_the_record_and_not_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordLogWriter, "append", full)
    monkeypatch.setattr(looplag, "_NOTE_NS", 0)
    seen: list[float] = []
    thrice = asyncio.Event()

    def observe(lag_s: float) -> None:
        seen.append(lag_s)
        if len(seen) == 3:
            thrice.set()

    async with looplag.watching(observe, str(tmp_path / "lag"), SETTING):
        await asyncio.wait_for(thrice.wait(), 10)
    assert caplog.text.count("no longer recorded") == 1


def note(path: Path, *worst_ms: float) -> None:
    """Write notes at 0.25 s, 0.5 s and so on."""
    log = RecordLogWriter(path)
    for place, each in enumerate(worst_ms, 1):
        log.append(looplag.WORST, looplag.WORST_HEADER.pack(place * S // 4, round(each * 1e6)), b"")
    log.close()


def test_the_worst_of_all_processes_counts_second_by_second(tmp_path: Path) -> None:
    note(tmp_path / "loop-lag-worker.1", 1, 2, 1, 1, 1, 1, 1)
    note(tmp_path / "loop-lag-worker.2", 1, 1, 1, 1, 1, 9)
    series = readers.load(tmp_path)
    columns = readers.columns(series, np.arange(4) * S)
    assert list(columns) == ["event_loop_lag_ms_worker"]
    assert np.array_equal(columns["event_loop_lag_ms_worker"], [2, 9, np.nan], equal_nan=True)
    lag = readers.use(series, 0, 2 * S)["worker"]
    assert (lag.median_ms, lag.max_ms) == (5.5, 9)
    assert readers.use(series, 10 * S, 12 * S) == {}


def test_a_log_that_is_damaged_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    note(tmp_path / "loop-lag-api.1", 1, 2)
    note(tmp_path / "loop-lag-api.2", 7)
    damaged = tmp_path / "loop-lag-api.1"
    damaged.write_bytes(b"XXXX" + damaged.read_bytes()[4:])
    assert readers.use(readers.load(tmp_path), 0, S)["api"].max_ms == 7
    assert "will be missing" in caplog.text

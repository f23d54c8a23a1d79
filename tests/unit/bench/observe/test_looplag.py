"""The logs of the event loops' lag, as the bench reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.observe import looplag
from bench.recorder import laglog
from traffic.recordlog import RecordLogWriter

S = 1_000_000_000


def note(path: Path, *worst_ms: float) -> None:
    """Write notes at 0.25 s, 0.5 s and so on."""
    log = RecordLogWriter(path)
    for place, each in enumerate(worst_ms, 1):
        log.append(laglog.WORST, laglog.WORST_HEADER.pack(place * S // 4, round(each * 1e6)), b"")
    log.close()


def test_the_worst_of_all_processes_counts_second_by_second(tmp_path: Path) -> None:
    note(tmp_path / "loop-lag-worker.1", 1, 2, 1, 1, 1, 1, 1)
    note(tmp_path / "loop-lag-worker.2", 1, 1, 1, 1, 1, 9)
    series = looplag.load(tmp_path)
    columns = looplag.columns(series, np.arange(4) * S)
    assert list(columns) == ["event_loop_lag_ms_worker"]
    assert np.array_equal(columns["event_loop_lag_ms_worker"], [2, 9, np.nan], equal_nan=True)
    lag = looplag.use(series, 0, 2 * S)["worker"]
    assert (lag.median_ms, lag.max_ms) == (5.5, 9)
    assert looplag.use(series, 10 * S, 12 * S) == {}


def test_a_damaged_log_is_left_out_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    note(tmp_path / "loop-lag-api.1", 1, 2)
    note(tmp_path / "loop-lag-api.2", 7)
    damaged = tmp_path / "loop-lag-api.1"
    damaged.write_bytes(b"XXXX" + damaged.read_bytes()[4:])
    assert looplag.use(looplag.load(tmp_path), 0, S)["api"].max_ms == 7
    assert "will be missing" in caplog.text

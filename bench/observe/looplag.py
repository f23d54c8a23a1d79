"""How late the event loops of API and workers woke, from the recorder's logs (bench/recorder/laglog.py)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.observe.scraper import CounterSeries
from bench.recorder import laglog as log
from bundle.result import LoopLag
from pipeline.errors import CorruptLogError
from traffic import recordlog

ROLES = ("api", "worker")
_FIGURE = "lag_ms"
_NS = 1_000_000_000

_log = logging.getLogger(__name__)


def logs_of(folder: Path, role: str) -> list[Path]:
    """Return the logs of a role's processes in a repeat's folder."""
    return sorted(folder.glob(f"loop-lag-{role}.*"))


def load(folder: Path) -> dict[str, CounterSeries]:
    """Return each role's notes of its worst lag (ms), all its processes together; a role without is left out."""
    found = {role: _series(logs_of(folder, role)) for role in ROLES}
    return {role: series for role, series in found.items() if len(series.at_ns)}


def use(series: Mapping[str, CounterSeries], start_ns: int, end_ns: int) -> dict[str, LoopLag]:
    """Sum up a window (monotonic ns) by role; its seconds are counted from its start."""
    edges_ns = np.arange(start_ns, end_ns + _NS, _NS).clip(max=end_ns)
    found = {}
    for role, of_role in series.items():
        worst = of_role.largest(_FIGURE, edges_ns)
        worst = worst[~np.isnan(worst)]
        if len(worst):
            found[role] = LoopLag(median_ms=float(np.median(worst)), max_ms=float(worst.max()))
    return found


def columns(series: Mapping[str, CounterSeries], edges_ns: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return a column of the time series for each role: the worst of each second (ms); NaN where none was noted."""
    return {f"event_loop_lag_ms_{role}": of_role.largest(_FIGURE, edges_ns) for role, of_role in series.items()}


def _series(paths: Iterable[Path]) -> CounterSeries:
    notes = []
    for path in paths:
        try:
            notes += [log.WORST_HEADER.unpack(each.header) for each in recordlog.read_blocks(path)]
        except CorruptLogError as error:  # it only observes: the repeat is sound without
            _log.warning("the event loop's lag of one process will be missing: %s", error)
    table = np.array(sorted(notes), dtype=np.int64).reshape(-1, 2)
    return CounterSeries(table[:, 0], {_FIGURE: table[:, 1] / 1e6})

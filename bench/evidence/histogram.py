"""HdrHistogram interval logs, one tag a measure, readable by the Java tool.

The encoder is that of PyPI's ``hdrhistogram``; the lines are ours, because its log writer drops
tags and writes the maximum as 0.000. Format: HdrHistogram's histogram log, version 1.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

SIGNIFICANT_DIGITS = 3
HIGHEST_US = 3_600_000_000  # an hour
MAXIMUM_UNIT_RATIO = 1_000  # values are microseconds, the log's Interval_Max column milliseconds
_SUB_BUCKET_BITS = 11  # 2 * 10**3 rounded up to a power of two


@dataclass(frozen=True)
class TimedDurations:
    """Durations (ns, shape (n,)) and the moment that each belongs to (ns from the epoch, shape (n,))."""

    at_ns: NDArray[np.int64]
    duration_ns: NDArray[np.int64]


def write_log(path: Path, epoch_unix_ns: int, measures: Mapping[str, TimedDurations]) -> None:
    """Write the interval log: one line a second and tag; values below zero count as 0, and a comment says how many."""
    start_s = epoch_unix_ns / 1e9
    started = datetime.fromtimestamp(start_s, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
    lines = [
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {start_s:.3f} (seconds since epoch), {started}]",
        f"#[MaxValueDivisor: {MAXIMUM_UNIT_RATIO:.1f}]",
        *(f"#[{tag}: {count} values below zero are counted as 0]" for tag, count in _below_zero(measures)),
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    intervals = [(second, tag, line) for tag, measure in measures.items() for second, line in _lines(tag, measure)]
    lines += [line for _, _, line in sorted(intervals)]
    lines.append(f"#[End: {len(intervals)} intervals]")  # a log that was cut off lacks it
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def histogram(duration_ns: NDArray[np.int64]) -> HdrHistogram:
    """Bin ``duration_ns`` into a histogram of microseconds with 3 significant digits."""
    values_us = np.clip(duration_ns // 1_000, 0, HIGHEST_US)
    # A histogram keeps 11 bits of a value: binning by them first, all at once, saves a call an event.
    bits = np.frexp(values_us.astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(bits - _SUB_BUCKET_BITS, 0)
    lowest, counts = np.unique((values_us >> shift) << shift, return_counts=True)
    result = HdrHistogram(1, HIGHEST_US, SIGNIFICANT_DIGITS)
    for value, count in zip(lowest.tolist(), counts.tolist(), strict=True):
        result.record_value(value, count)
    return result


def _below_zero(measures: Mapping[str, TimedDurations]) -> Iterator[tuple[str, int]]:
    for tag, measure in measures.items():
        count = int((measure.duration_ns < 0).sum())
        if count:
            yield tag, count


def _lines(tag: str, measure: TimedDurations) -> Iterator[tuple[int, str]]:
    if not len(measure.at_ns):
        return
    seconds = measure.at_ns // 1_000_000_000
    for second in np.unique(seconds).tolist():
        binned = histogram(measure.duration_ns[seconds == second])
        maximum_ms = binned.get_max_value() / MAXIMUM_UNIT_RATIO
        payload = binned.encode().decode("ascii")
        yield second, f"Tag={tag},{second:.3f},1.000,{maximum_ms:.3f},{payload}"

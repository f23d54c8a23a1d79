"""The interval log is read by HdrHistogram's own Java tool, tag by tag."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.evidence import histogram
from pipeline.local.jars import cache_folder, kafka_jars
from pipeline.local.programs import find_java
from pipeline.settings import Local

MS = 1_000_000


@pytest.fixture
def processor(parts_are_there: None) -> list[str]:  # noqa: ARG001 - skips where they are not
    """The command: its jar (org.hdrhistogram:HdrHistogram, of Maven Central) is one of those that Kafka comes with."""
    jars = kafka_jars(cache_folder(Local().cache_dir), print)
    (jar,) = [each for each in jars if each.name.startswith("HdrHistogram-")]
    return [str(find_java(Local()).path), "-cp", str(jar), "org.HdrHistogram.HistogramLogProcessor"]


def output_of(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_java_tool_finds_every_tag_with_its_count_percentiles_and_maximum(
    tmp_path: Path, processor: list[str]
) -> None:
    at = np.arange(3_000, dtype=np.int64) * MS
    measures = {
        "response_time": histogram.TimedDurations(at, np.full(3_000, 5 * MS)),
        "http_and_api": histogram.TimedDurations(
            at, np.full(3_000, -MS // 2)
        ),  # cut to whole milliseconds: counts as 0
        "write": histogram.TimedDurations(at, np.arange(3_000, dtype=np.int64) * MS),
    }
    log = tmp_path / "latency.hlog"
    histogram.write_log(log, 1_700_000_000 * 10**9, measures)
    assert set(measures) <= set(output_of([*processor, "-i", str(log), "-listtags"]).split())
    one = output_of([*processor, "-i", str(log), "-tag", "write", "-outputValueUnitRatio", "1000"])
    (count,) = re.findall(r"Total count\s*=\s*(\d+)", one)
    (maximum,) = re.findall(r"Max\s*=\s*([\d.]+)", one)
    (median,) = re.findall(r"^\s*([\d.]+)\s+0\.50000\d*\s", one, re.MULTILINE)
    assert int(count) == 3_000
    assert 2_999 <= float(maximum) <= 2_999 * 1.001
    assert 1_499 <= float(median) <= 1_500 * 1.001

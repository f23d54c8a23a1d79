"""The interval log is read by HdrHistogram's own Java tool, tag by tag."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import jgo
import numpy as np
import pytest

from bench import histogram
from pipeline.local.parts import find_java
from pipeline.settings import Local

MS = 1_000_000


@pytest.mark.slow
def test_the_java_tool_finds_every_tag_with_its_count_and_maximum(tmp_path: Path) -> None:
    at = np.arange(3_000, dtype=np.int64) * MS
    measures = {
        "response_time": histogram.Measure(at, np.full(3_000, 5 * MS)),
        "write": histogram.Measure(at[:10], np.arange(1, 11, dtype=np.int64) * MS),
    }
    log = tmp_path / "latency.hlog"
    histogram.write_log(log, 1_700_000_000 * 10**9, measures)
    found = jgo.build(endpoint="org.hdrhistogram:HdrHistogram:2.2.2").path
    classes = f"{found}/jars/*:{found}/modules/*"
    java = [str(find_java(Local()).path), "-cp", classes, "org.HdrHistogram.HistogramLogProcessor", "-i", str(log)]
    tags = subprocess.run([*java, "-listtags"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert {"response_time", "write"} <= set(tags.split())
    one = [*java, "-tag", "write", "-outputValueUnitRatio", "1000"]
    told = subprocess.run(one, capture_output=True, text=True, check=True, timeout=60).stdout
    count, maximum = re.search(r"Total count\s*=\s*(\d+)", told), re.search(r"Max\s*=\s*([\d.]+)", told)
    assert count is not None
    assert maximum is not None
    assert int(count[1]) == 10
    assert 10.0 <= float(maximum[1]) < 10.02

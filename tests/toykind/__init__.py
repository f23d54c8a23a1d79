"""Two modules that add a kind of cell, as somebody would who knows nothing but the two folders of kinds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import bench.kinds
import reports.kinds

HERE = Path(__file__).parent
MODULES = {"bench/kinds/pulse.py": HERE / "bench" / "pulse.py", "reports/kinds/pulse.py": HERE / "reports" / "pulse.py"}
MATRIX = """
name = "pulses"
rounds = 2
[[cells]]
kind = "pulse"
axes = { pulses = [1, 2] }
fixed = { partitions = 1 }
offered_load = 400
warmup_s = 1
duration_s = 4
every_s = 0.5
"""


@contextmanager
def added() -> Iterator[None]:
    """Let both modules be found, as if they lay in the folders of kinds."""
    with pytest.MonkeyPatch.context() as patch:
        for package, folder in ((bench.kinds, "bench"), (reports.kinds, "reports")):
            patch.setattr(package, "__path__", [*package.__path__, str(HERE / folder)])
            package._found.cache_clear()
        try:
            yield
        finally:
            for package in (bench.kinds, reports.kinds):
                sys.modules.pop(f"{package.__name__}.pulse", None)
    for package in (bench.kinds, reports.kinds):
        package._found.cache_clear()

"""How far repeats of one cell lie apart, from a run that measured the same few cells again and again.

``python -m tests.unit.reports.made_repeats runs/<noise run> > tests/unit/data/repeats.json`` writes what the
simulations of comparisons draw from: every valid repeat's measures, by cell, in the order of the rounds.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parents[1] / "data" / "repeats.json"


def extract(run: Path) -> dict[str, Any]:
    """Read only what every schema version has, so that an older run will do."""
    manifest = json.loads((run / "manifest.json").read_text())
    cells: dict[str, dict[str, list[float]]] = {}
    results = [json.loads(path.read_text()) for path in run.glob("cells/*/*/result.json")]
    for result in sorted(results, key=lambda one: (one["cell"], one["round"], one["attempt"])):
        if result["valid"]:
            measures = cells.setdefault(result["cell"], {})
            for name, value in _measures(result).items():
                measures.setdefault(name, []).append(value)
    source = {name: manifest[name] for name in ("run_id", "git_revision", "hardware", "kernel")}
    return {"source": source, "cells": cells}


def residuals(cell: str, measure: str) -> NDArray[np.float64]:
    """Return how far each repeat lies from the cell's middle, as logs, widened for the middle being of them too."""
    values = np.log(json.loads(DATA.read_text())["cells"][cell][measure])
    return np.asarray((values - values.mean()) * math.sqrt(len(values) / (len(values) - 1)))


def _measures(result: dict[str, Any]) -> dict[str, float]:
    stored = result["throughput_events_per_s"]
    delivery, response = result["delivery_latency_ms"] or {}, result["response_time_ms"] or {}
    found = {
        "throughput": stored,
        "cpu_s_per_100k_events": sum(result["cpu_cores_per_role"].values()) / stored * 100_000,
        "delivery_latency_p50": delivery.get("p50"),
        "delivery_latency_p99": delivery.get("p99"),
        "response_time_p99": response.get("p99"),
    }
    return {name: round(value, 4) for name, value in found.items() if value is not None}


if __name__ == "__main__":
    print(json.dumps(extract(Path(sys.argv[1])), indent=1))  # noqa: T201 - its output

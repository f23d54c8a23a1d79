"""Writes two bundles that can be compared: the same plan twice, NEW made faster or slower where the test says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.reports.made_bundle import Cell, Plan, write

DRAIN = Cell("drain-p3-c1", "drain", {"consumers": 1})
OTHER_DRAIN = Cell("drain-p3-c2", "drain", {"consumers": 2})
STEADY = Cell("steady-p3-c1", "steady", {"consumers": 1, "offered_load": 20_000})
Change = Callable[[dict[str, Any]], Any]


@dataclass
class Pair:
    """What to write. ``speed``: how many times as fast NEW is in a cell; ``noise``: spread of each repeat's log."""

    cells: list[Cell] = field(default_factory=lambda: [DRAIN])
    rounds: int = 12
    speed: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.02
    interleaved: bool = True
    new_plan: Mapping[str, Any] = field(default_factory=dict)
    """Fields of NEW's plan that differ."""


def write_pair(root: Path, pair: Pair) -> tuple[Path, Path]:
    """Write both and return their folders."""
    plan = Plan(pair.cells, rounds=pair.rounds, requests=1_200)
    base, new = write(root, plan, "20261122-base"), write(root, replace(plan, **pair.new_plan), "20261122-new")
    rng = np.random.default_rng(11)
    for run, is_new in ((base, False), (new, True)):
        for path in sorted(run.glob("cells/*/*/result.json")):
            result = json.loads(path.read_text())
            faster = pair.speed.get(result["cell"], 1.0) if is_new else 1.0
            factor = faster * rng.lognormal(0, pair.noise)
            rewrite(path, lambda result, factor=factor: _speed_up(result, factor))
    if pair.interleaved:
        for run, other, side, given in ((base, new, "base", "."), (new, base, "new", "batch_max_events=500")):
            pairing = {"interleaved_with": other.name, "variant": {"side": side, "given": given}}
            rewrite(run / "manifest.json", lambda manifest, pairing=pairing: manifest.update(pairing))
    return base, new


def rewrite(path: Path, change: Change) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _speed_up(result: dict[str, Any], factor: float) -> None:
    if result["kind"] == "drain" and result.get("throughput_events_per_s"):
        result["throughput_events_per_s"] = 40_000 * factor
    for measure in ("delivery_latency_ms", "response_time_ms"):
        latencies = result.get(measure)
        if latencies:
            result[measure] = latencies | {"p50": 50 / factor, "p99": latencies["p99"] and 200 / factor}

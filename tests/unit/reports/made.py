"""Cells made of a few numbers, for tests of what is concluded from cells and not of how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.capacity import CapacityAnswer
from bundle.manifest import CellPlan
from bundle.reading import Repeat
from bundle.result import Audit, Percentiles, Probe, Result, Sustained, Window
from reports.cells import cells
from reports.cells.bottleneck import UNKNOWN, Bottleneck
from reports.cells.cells import Cell

AXES = {"partitions": 3, "consumers": 1, "api_processes": 1, "batch_max_events": 2000, "acks": "all"}
NOTHING_AT_ITS_LIMIT = Bottleneck(resource=UNKNOWN)


def result(kind: str, **fields: Any) -> Result:
    whole = {"schema_version": 2, "cell": "c", "kind": kind, "round": 1, "valid": True, "window": Window(0.0, 10.0)}
    return Result(**(whole | fields))


def drain(values: Sequence[float], **fields: Any) -> Cell:
    """A drain cell with these throughputs; ``fields`` are of the Cell, or axes."""
    return cell("drain", [result("drain", throughput_events_per_s=value) for value in values], **fields)


def steady(load: float, p99s_ms: Sequence[float | None], *, achieved: float = 1.0, **fields: Any) -> Cell:
    """A steady cell whose repeats have these p99 of delivery latency, half of that as p50."""
    results = [result("steady", **_at(load, p99_ms, achieved)) for p99_ms in p99s_ms]
    return cell("steady", results, offered_load=load, **fields)


def capacity(
    answer: tuple[float | None, float | None, float | None],
    probes: Sequence[tuple[float, bool, float]] = (),
    *,
    objective: str = "p99 delivery latency <= 1 s",
    confirmed: bool = True,
    **fields: Any,
) -> Cell:
    """A capacity cell: its answer with both ends, and its probes as (load, sustained, delivery latency p99 in ms)."""
    results = []
    for load, sustained, p99_ms in probes:
        verdict = "sustained" if sustained else "not sustained"
        probe = Probe("bisection", verdict, sustained, 0.0, 0.0, load * 0.02)
        results.append(result("capacity", probe=probe, **_at(load, p99_ms, 1.0 if sustained else 0.9)))
    value, low, high = answer
    found = CapacityAnswer(
        schema_version=2,
        cell="c",
        objective=objective,
        sustainable_events_per_s=value,
        low_events_per_s=low,
        high_events_per_s=high,
        confidence=0.95,
        confirmed=confirmed,
        ended="",
    )
    lost = [
        one
        for one in results
        if one.probe and not one.probe.holds and (one.offered_load_events_per_s or 0) > (value or 0)
    ]
    least = min((one.offered_load_events_per_s or 0.0 for one in lost), default=0.0)
    beyond = tuple(Repeat(Path("nowhere"), one) for one in lost if one.offered_load_events_per_s == least)
    return cell("capacity", results, capacity=found, **{"beyond": beyond, **fields})


def _at(load: float, p99_ms: float | None, achieved: float) -> dict[str, Any]:
    return {
        "offered_load_events_per_s": load,
        "throughput_events_per_s": load * achieved,
        "achieved": achieved,
        "keeping_up": keeping_up(load, 1 - achieved),
        "delivery_latency_ms": Percentiles(p50=(p99_ms or 2.0) / 2, p99=p99_ms),
        "response_time_ms": Percentiles(p50=1.0, p99=(p99_ms or 2.0) / 10),
    }


def keeping_up(load: float, share: float, spread: float = 0.005) -> Sustained:
    """What rule 9 says of a load of which such a ``share`` was not stored as fast, with bounds ``spread`` about it."""
    low, bound = load * (share - spread), load * (share + spread)
    allowed = 0.02 * load
    verdict = "sustained" if bound <= allowed else "not sustained" if low > allowed else "straddles"
    return Sustained(load * share, low, bound, allowed, verdict, load * share <= allowed)


def cell(kind: str, results: Sequence[Result], **fields: Any) -> Cell:
    axes = AXES | {name: fields.pop(name) for name in list(fields) if name in (*AXES, "payload_bytes", "key_skew")}
    name = f"{kind}-p{axes['partitions']}-c{axes['consumers']}"
    repeats = tuple(Repeat(Path("nowhere"), one) for one in results)
    values = [one.throughput_events_per_s or 0.0 for one in results]
    whole: dict[str, Any] = {
        "plan": CellPlan(fields.pop("id", name), kind, axes),
        "label": f"{axes['partitions']} x {axes['consumers']}",
        "sentence": name,
        "attempts": repeats,
        "valid": tuple(repeat for repeat in repeats if repeat.result.valid),
        "counted": tuple(repeat for repeat in repeats if repeat.result.valid),
        "beyond": (),
        "throughput": cells.interval(values),
        "offered_load": None,
        "achieved": None,
        "audit": Audit(),
        "requests": 0,
        "largest_shares": {},
        "pooled": {},
        "stages_ms": {},
        "cohorts": (),
        "cores": {},
        "memory_max_bytes": {},
        "bottleneck": NOTHING_AT_ITS_LIMIT,
        "idle_consumers": 0,
    }
    return Cell(**(whole | fields))

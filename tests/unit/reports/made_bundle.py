"""Writes a whole bundle of plausible numbers, so that the reports can be tested without an hour of measuring.

``python -m tests.unit.reports.made_bundle DIR`` writes the same one for looking at.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hdrh.histogram import HdrHistogram
from msgspec import structs
from numpy.typing import NDArray

from bench import kinds
from bench.cells.bounds import Bounds
from bench.kinds import naming
from bundle import files
from bundle.capacity import CapacityAnswer
from bundle.manifest import LOCAL, CellPlan, Hardware, Manifest, MatrixText
from bundle.result import (
    ALLOWED_SHARE,
    STAGES,
    Audit,
    Cohort,
    Consumer,
    Percentiles,
    Probe,
    Result,
    StageStatistics,
    Sustained,
    Window,
)
from bundle.version import SCHEMA_VERSION
from tests.unit.reports import made_evidence

STARTED_AT = "2026-11-22T16:00:00Z"
ROLES = ("generator", "api", "kafka", "worker", "mongodb", "harness", "witness")
MEASURES = ("response_time", "service_time", "delivery_latency", *STAGES)
EVENTS_PER_REQUEST = 20


@dataclass
class Cell:
    """One cell to write: ``axes`` come over the defaults."""

    id: str
    kind: str
    axes: dict[str, Any] = field(default_factory=dict)
    probes: tuple[tuple[str, float, bool | str], ...] = ()
    """Of a capacity cell: step, offered load, whether it was sustained, or ``undetermined`` or ``void``."""
    sustainable: tuple[float, float, float] | None = None
    """Of a capacity cell: the answer with its interval; None writes no capacity.json."""
    capacity: dict[str, Any] = field(default_factory=dict)
    """Of a capacity cell: fields of its capacity.json that are other than usual."""
    rate: float | None = None
    """Of a drain: events/s, about; None: by its axes."""


@dataclass
class Plan:
    """What to write. Keys of the marks are (cell id, round)."""

    cells: list[Cell]
    rounds: int = 3
    status: str = "complete"
    schema_version: int = SCHEMA_VERSION
    bounds: dict[str, float] = field(default_factory=dict)
    lost: dict[tuple[str, int], int] = field(default_factory=dict)
    void: dict[tuple[str, int], int] = field(default_factory=dict)
    """How many attempts were void; three of them leave the repeat without a valid one."""
    crashed: set[tuple[str, int]] = field(default_factory=set)
    missing: set[tuple[str, int]] = field(default_factory=set)
    requests: int = 2_000
    seconds: int = 10
    cores: int = 2


VOID_REASON = (
    "generator: schedule delay p99 14.2 ms > 10 ms: the load was not the load intended "
    "(in the window other programs used 9% of the machine's CPU, and its host took 21%)"
)
VERDICTS = {True: "sustained", False: "not sustained"}
LOST_PRESSURE = 1.3
"""Offered by what is sustainable: from here on a probe is stopped early."""
MIX = {"event_mix": (("page_view", 0.8), ("signup", 0.05), ("purchase", 0.15))}
BOUNDS = msgspec.to_builtins(Bounds())


def axes_of(cell: Cell) -> dict[str, Any]:
    """Every axis that a cell of this kind has, most with their defaults."""
    return naming.axes_of(kinds.named(cell.kind).cell(id="", kind=cell.kind)) | MIX | cell.axes


def quick_cells() -> list[Cell]:
    drains = [Cell(f"drain-p{p}-c{c}", "drain", {"partitions": p, "consumers": c}) for p in (1, 3) for c in (1, 2, 4)]
    steady = [Cell(f"steady-p{p}-c{c}", "steady", {"partitions": p, "consumers": c}) for p in (1, 3) for c in (1, 2)]
    return [*drains, *steady]


def write(root: Path, plan: Plan, run_id: str = "20261122T160000-quick") -> Path:
    """Write the bundle under ``root`` and return its folder."""
    rng = np.random.default_rng(7)
    run = root / run_id
    run.mkdir(parents=True)
    files.write(run / "manifest.json", _manifest(plan, run_id))
    number = 0
    for cell in plan.cells:
        if cell.kind == "capacity":
            number = _write_search(run, plan, cell, number, rng)
    for round_ in range(1, plan.rounds + 1):
        for cell in plan.cells:
            if cell.kind == "capacity":
                continue
            key = (cell.id, round_)
            if key in plan.missing:
                continue
            void = plan.void.get(key, 0)
            for attempt in range(1, min(void + 1, 3) + 1):
                number += 1
                name = str(round_) if attempt == 1 else f"{round_}.{attempt}"
                folder = run / "cells" / cell.id / name
                (folder / "logs").mkdir(parents=True)
                _write_repeat(folder, plan, cell, _Repeat(round_, attempt, number, attempt > void, rng))
    return run


def _write_search(run: Path, plan: Plan, cell: Cell, number: int, rng: np.random.Generator) -> int:
    """One repeat a probe, and what they came to."""
    for index, (step, load, verdict) in enumerate(cell.probes, 1):
        folder = run / "cells" / cell.id / str(index)
        (folder / "logs").mkdir(parents=True)
        pressure = load / (cell.sustainable[0] if cell.sustainable else 10 * load)
        probed = Cell(cell.id, cell.kind, {**cell.axes, "offered_load": load, "pressure": pressure})
        probe = _probe(step, load, VERDICTS.get(verdict, str(verdict)), pressure)
        _write_repeat(folder, plan, probed, _Repeat(index, 1, number + index, verdict != "void", rng), probe)
    if cell.sustainable is not None:
        answer, low, high = cell.sustainable
        capacity = CapacityAnswer(
            schema_version=plan.schema_version,
            cell=cell.id,
            objective="p99 delivery latency <= 1000 ms, at most 0.0% rejected",
            sustainable_events_per_s=answer,
            low_events_per_s=low,
            high_events_per_s=high,
            confidence=0.95,
            confirmed=True,
            ended="confirmed in 3 probes, and the interval is narrow enough",
        )
        files.write(run / "cells" / cell.id / "capacity.json", structs.replace(capacity, **cell.capacity))
    return number + len(cell.probes)


def _probe(step: str, load: float, verdict: str, pressure: float) -> dict[str, Any]:
    """What a result says of a probe beyond its numbers."""
    if verdict == "void":
        return {}
    share = {"sustained": 0.001, "undetermined": 0.018}.get(verdict, max(0.05, 1 - 1 / pressure))
    why = {
        "sustained": ("accepted - stored is at most 0.3% of what is offered",),
        "undetermined": ("the bounds of accepted - stored lie on both sides of 2% of what is offered",),
    }.get(verdict, (f"accepted - stored is {share:.1%} of what is offered, 2% allowed", "objective missed"))
    probe = Probe(
        step=step,
        verdict=verdict,
        holds=verdict == "sustained",
        deficit_events_per_s=load * share,
        deficit_bound_events_per_s=load * share * 1.2,
        allowed_events_per_s=load * 0.02,
        why=why,
        stopped_early=verdict == "not sustained" and pressure > LOST_PRESSURE,
        extended_s=10.0 if verdict == "undetermined" else 0.0,
    )
    kept_up = _keeping_up(load, share, "straddles" if verdict == "undetermined" else verdict)
    return {"throughput_events_per_s": load * (1 - share), "probe": probe, "keeping_up": kept_up}


@dataclass
class _Repeat:
    round: int
    attempt: int
    number: int
    valid: bool
    rng: np.random.Generator


def _manifest(plan: Plan, run_id: str) -> Manifest:
    text = 'name = "quick"\nseed = 1\nrounds = 3\n'
    return Manifest(
        schema_version=plan.schema_version,
        run_id=run_id,
        status=plan.status,
        command="./tidemark bench quick --rounds 3",
        started_at=STARTED_AT,
        finished_at=None if plan.status == "running" else "2026-11-22T16:08:31Z",
        matrix=MatrixText(name="quick", text=text, rounds=plan.rounds, seed=1),
        bounds=BOUNDS | plan.bounds,
        changed_bounds=tuple(sorted(plan.bounds)),
        cells=tuple(CellPlan(c.id, c.kind, axes_of(c)) for c in plan.cells),
        order=tuple((c.id, r) for r in range(1, plan.rounds + 1) for c in plan.cells if c.kind != "capacity"),
        git_revision="1d44871c0ffee1d44871c0ffee1d44871c0ffee1",
        git_dirty=False,
        versions={"python": "3.11.2", "kafka": "4.3.1", "mongod": "6.0.5", "aiokafka": "0.14.0", "motor": "3.7.1"},
        hardware=Hardware("AMD EPYC 7B13", plan.cores, 8_332_189_696),
        kernel="Linux 6.1.0 x86_64",
        servers=LOCAL,
    )


def _throughput(axes: dict[str, Any], rng: np.random.Generator) -> float:
    working = min(axes["consumers"], axes["partitions"] * 3)
    base = {1: 33_500, 2: 36_800, 3: 36_100}.get(working, 35_200) * (1 if axes["partitions"] > 1 else 0.93)
    base *= (axes["batch_max_events"] / 2000) ** 0.15
    return float(base * rng.lognormal(0, 0.035))


def _write_repeat(folder: Path, plan: Plan, cell: Cell, repeat: _Repeat, probe: dict[str, Any] | None = None) -> None:
    axes = axes_of(cell)
    asked = {name: value for name, value in cell.axes.items() if name not in ("offered_load", "pressure")}
    result: dict[str, Any] = {
        "schema_version": plan.schema_version,
        "cell": cell.id,
        "kind": cell.kind,
        "axes": axes if probe is None else axes_of(replace(cell, axes=asked)),
        "round": repeat.round,
        "attempt": repeat.attempt,
        "run_number": repeat.number,
        "started_at": f"2026-11-22T16:{repeat.number // 3:02d}:{repeat.number % 3 * 20:02d}Z",
        "valid": repeat.valid,
        "reasons": () if repeat.valid else (VOID_REASON,),
    }
    if (cell.id, repeat.round) in plan.crashed:
        (folder / "logs" / "worker-1.log").write_text("Traceback ...\n")
        crash = "crash: worker 1 exited with code 3, see logs/worker-1.log"
        files.write(folder / "result.json", Result(**result, findings=(crash,)))
        return
    rate = cell.rate * float(repeat.rng.lognormal(0, 0.02)) if cell.rate else _throughput(axes, repeat.rng)
    result |= _drain(rate) if cell.kind == "drain" else _steady(plan, rate, axes, folder, repeat)
    lost = plan.lost.get((cell.id, repeat.round), 0) if repeat.valid else 0
    result["audit"] = _audit(result.pop("_offered"), lost)
    if lost:
        result["findings"] = (f"{lost:,} accepted and then lost (stream/sequence 0/4711, 0/4712)",)
    result |= _usage(cell, axes, rate)
    result |= _evidence(cell, result, repeat.rng)
    result["bounds_measured"] = made_evidence.bounds_measured(result, repeat.rng)
    result["consumers"] = _consumers(axes, result["audit"].stored)
    result["partitions_total"] = axes["partitions"] * 3
    finished = Result(**(result | (probe or {})))
    files.write(folder / "result.json", finished)
    _write_timeseries(folder, finished, plan)
    _write_events(folder)
    (folder / "logs" / "worker-1.log").write_text("worker ready: group g, topics events_page_view\n")


def _audit(offered: int, lost: int) -> Audit:
    return Audit(
        offered=offered,
        accepted=offered,
        stored=offered - lost,
        stored_accepted=offered - lost,
        lost=lost,
        delivered_twice=40,
        compared=offered // 50,
    )


def _drain(rate: float) -> dict[str, Any]:
    events = 120_000
    length = events * 0.8 / rate
    return {
        "window": Window(4.2, 4.2 + length),
        "throughput_events_per_s": rate,
        "clock_drift_max_ms_per_s": 0.02,
        "duration_s": {"prepare": 2.1, "preload": 4.0, "window": length, "audit": 1.8},
        "_offered": events,
    }


def _steady(plan: Plan, rate: float, axes: dict[str, Any], folder: Path, repeat: _Repeat) -> dict[str, Any]:
    load = float(axes["offered_load"] or round(rate * 0.5, -2))
    samples = _stage_samples(plan.requests, axes, repeat.rng)
    (folder / "latency.hlog").write_text(hlog({name: v * 1000 for name, v in samples.items()}, EVENTS_PER_REQUEST))
    latency = samples["delivery_latency"]
    cohorts = []
    for name, low, high in (("p50", 0.45, 0.55), ("p90", 0.89, 0.91), ("p95", 0.945, 0.955), ("p99", 0.985, 0.995)):
        a, b = np.quantile(latency, [low, high])
        inside = (latency >= a) & (latency <= b)
        if not inside.any():
            continue
        means = {stage: float(samples[stage][inside].mean()) for stage in STAGES}
        cohorts.append(Cohort(name, float(latency[inside].mean()), means))
    return {
        "window": Window(3.0, 3.0 + plan.seconds),
        "throughput_events_per_s": load * float(repeat.rng.normal(0.999, 0.002)),
        "offered_load_events_per_s": load,
        "achieved": float(repeat.rng.normal(0.999, 0.002)),
        "keeping_up": _keeping_up(load, 0.001, "sustained"),
        "requests": plan.requests,
        **{f"{m}_ms": _percentiles(samples[m]) for m in ("response_time", "service_time", "delivery_latency")},
        "stages_ms": {name: _statistics(samples[name]) for name in STAGES},
        "cohorts": tuple(cohorts),
        "schedule_delay_p99_ms": float(np.quantile(samples["schedule_delay"], 0.99)),
        "clock_drift_max_ms_per_s": 0.03,
        "duration_s": {"prepare": 2.3, "warmup": 3.0, "window": float(plan.seconds), "drain": 0.4, "audit": 2.2},
        "_offered": int(load * (plan.seconds + 3)),
    }


def _keeping_up(load: float, share: float, verdict: str) -> Sustained:
    """Rule 9's deficit, of so much of the load."""
    deficits = (load * share, load * share * 0.8, load * share * 1.2)
    return Sustained(*deficits, load * ALLOWED_SHARE, verdict=verdict, holds=share <= ALLOWED_SHARE)


def _stage_samples(count: int, axes: dict[str, Any], rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Milliseconds, one a request; delivery latency is the sum of the stages."""
    slow = 1 + 0.4 * (axes["partitions"] == 1) + 0.15 * (axes["consumers"] == 1)
    # Near what the system can, records wait: a queue at this utilisation; beyond it the backlog grows all along.
    pressure = float(axes.get("pressure", 0.0))
    slow *= 1 / (1 - min(0.9 * pressure, 0.97))
    behind = rng.random(count) * max(0.0, pressure - 1) * 8_000
    stages = {
        "schedule_delay": rng.gamma(1.2, 0.25, count),
        "http_and_api": rng.gamma(4, 1.1, count),
        "kafka_and_backlog": behind
        + rng.gamma(2, 6 * slow, count)
        + (rng.random(count) < 0.004) * rng.gamma(3, 60, count),
        "write": rng.gamma(6, 3.2 * slow, count),
    }
    service = stages["http_and_api"] + rng.gamma(2, 1.0, count)
    return stages | {
        "service_time": service,
        "response_time": service + stages["schedule_delay"],
        "delivery_latency": np.sum(list(stages.values()), axis=0),
    }


def _percentiles(values: NDArray[np.float64]) -> Percentiles:
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
    found = {n: float(np.quantile(values, q)) if len(values) * (1 - q) >= 10 else None for n, q in shares.items()}
    return Percentiles(**found, max=float(values.max()))


def _statistics(values: NDArray[np.float64]) -> StageStatistics:
    p50, p90, p95, p99 = map(float, np.quantile(values, [0.5, 0.9, 0.95, 0.99]))
    low, high, mean = float(values.min()), float(values.max()), float(values.mean())
    return StageStatistics(mean=mean, min=low, p50=p50, p90=p90, p95=p95, p99=p99, max=high)


def hlog(samples_us: dict[str, NDArray[np.float64]], weight: int = 1) -> str:
    """An HdrHistogram interval log with one tagged line for each measure, each sample counted ``weight`` times."""
    lines = ["#[Histogram log format version 1.3]", "#[StartTime: 1795363200.000 (seconds since epoch)]"]
    lines.append('"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"')
    for tag, values in samples_us.items():
        histogram = HdrHistogram(1, 3_600_000_000, 3)
        whole = np.maximum(values, 0).astype(np.int64)
        # A histogram keeps 11 bits of a value: binned by them before, far fewer calls are needed.
        shift = np.maximum(np.frexp(whole.astype(np.float64))[1].astype(np.int64) - 11, 0)
        whole, counts = np.unique((whole >> shift) << shift, return_counts=True)
        for value, count in zip(whole, counts, strict=True):
            histogram.record_value(int(value), int(count) * weight)
        payload = histogram.encode().decode()
        lines.append(f"Tag={tag},3.000,10.000,{histogram.get_max_value() / 1000:.3f},{payload}")
    lines.append(f"#[End: {len(samples_us)} intervals]")
    return "\n".join(lines) + "\n"


def _usage(cell: Cell, axes: dict[str, Any], rate: float) -> dict[str, Any]:
    if cell.kind == "drain":
        working = min(axes["consumers"], axes["partitions"] * 3)
        worker = 0.3 + 0.04 * working
        cores = {"generator": 0.0, "api": 0.01, "kafka": 0.12, "worker": worker, "mongodb": rate * 3.6e-5}
    else:
        cores = {"generator": 0.21, "api": 0.31, "kafka": 0.15, "worker": 0.2, "mongodb": rate * 1.9e-5}
    cores |= {"harness": 0.02, "witness": 0.0 if cell.kind == "drain" else 0.015}
    memory = (90, 110, 520, 85, 410, 130, 60)
    return {
        "cpu_s_per_role": {role: value * 9 for role, value in cores.items()},
        "cpu_cores_per_role": cores,
        "memory_max_bytes_per_role": {role: m * 2**20 for role, m in zip(ROLES, memory, strict=True)},
    }


def _evidence(cell: Cell, result: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Witness, event loops, counters and processes."""
    rate, cores = result["throughput_events_per_s"], result["cpu_cores_per_role"]
    share = 0.95 if cell.kind == "drain" else min(rate / 30_000, 1.0)
    through_http = cell.kind != "drain"
    evidence = made_evidence.counters(rate, share, rng, through_http=through_http)
    evidence |= made_evidence.processes(cores, rate)
    if through_http:
        evidence["witness"] = made_evidence.witness(result["delivery_latency_ms"].p50 or 1.0, rng)
    return evidence


def _consumers(axes: dict[str, Any], stored: int) -> tuple[Consumer, ...]:
    topics = ["events_page_view", "events_signup", "events_generic"]
    pairs = [(topic, p) for topic in topics for p in range(axes["partitions"])]
    found = []
    working = min(axes["consumers"], len(pairs))
    for index in range(axes["consumers"]):
        mine: dict[str, tuple[int, ...]] = {}
        for topic, partition in pairs[index :: axes["consumers"]]:
            mine[topic] = (*mine.get(topic, ()), partition)
        count = sum(len(v) for v in mine.values())
        found.append(Consumer(f"worker-{index + 1}", mine, count, stored // working if count else 0, idle=count == 0))
    return tuple(found)


def _write_timeseries(folder: Path, result: Result, plan: Plan) -> None:
    end = int(np.ceil(result.window.end_s)) + 3
    second = np.arange(end)
    offered = result.offered_load_events_per_s
    if offered is None:
        rate = result.throughput_events_per_s
        backlog = np.maximum(120_000 - np.maximum(second - 3.6, 0) * rate, 0).astype(np.int64)
        stored = -np.diff(backlog, prepend=120_000)
        accepted = np.zeros_like(second)
    else:
        active = second < plan.seconds + 3
        accepted = np.where(active, offered, 0).astype(np.int64)
        backlog = (np.abs(np.sin(second * 1.3)) * offered * 0.05 * active).astype(np.int64)
        stored = np.maximum(accepted - np.diff(backlog, prepend=0), 0)
    columns: dict[str, Any] = {"second": second, "offered": accepted, "accepted": accepted, "stored": stored}
    columns |= {"backlog": backlog, "clock_offset_ns": np.full(end, 1_795_363_200_000_000_000)}
    for role, cores in result.cpu_cores_per_role.items():
        wave = 1 + 0.04 * np.sin(second * 1.7 + result.round)
        columns[f"cpu_s_{role}"] = cores * wave
        columns[f"busiest_process_cpu_s_{role}"] = cores * wave * 0.6
        columns[f"memory_bytes_{role}"] = np.full(end, result.memory_max_bytes_per_role[role])
        columns[f"read_bytes_{role}"] = np.zeros(end, dtype=np.int64)
        columns[f"write_bytes_{role}"] = np.full(end, 1000)
    pq.write_table(pa.table(columns), folder / "timeseries.parquet")


def _write_events(folder: Path) -> None:
    """A few rows: the report reads neither, they are there because a bundle has them."""
    n = np.arange(8)
    ledger = dict.fromkeys(("stream", "first", "count", "intended", "sent", "answered", "outcome"), n)
    pq.write_table(pa.table(ledger), folder / "ledger.parquet")
    names = ("record_timestamp_ms", "fetched_ns", "acknowledged_ns", "consumer")
    pq.write_table(pa.table({"id_low": n.astype(np.uint64)} | dict.fromkeys(names, n)), folder / "deliveries.parquet")


def searched_cells() -> list[Cell]:
    """Capacity cells: one sound search, one whose answer was not confirmed, one that found nothing."""

    def probes(scale: float) -> tuple[tuple[str, float, bool | str], ...]:
        loads: list[tuple[str, float, bool | str]] = [("climb", 8_000, True), ("climb", 12_000, True)]
        loads += [("climb", 18_000, True), ("climb", 27_000, False), ("bisection", 22_000, True)]
        loads += [("bisection", 24_400, "undetermined"), ("bisection", 23_100, True), ("confirmation", 23_100, "void")]
        loads += [("confirmation", 23_100, True), ("confirmation", 23_100, True), ("interval", 25_000, False)]
        loads += [("climb", 40_500, False)]
        return tuple((step, round(load * scale, -2), verdict) for step, load, verdict in loads)

    unsure = {"confirmed": False, "high_events_per_s": None, "ended": "the cap of 14 probes was reached"}
    none = {"sustainable_events_per_s": None, "low_events_per_s": None, "confirmed": False}
    none |= {"ended": "not even 500 events/s were sustained"}
    sound = {"knee_events_per_s": 18_000.0}
    axes = {p: {"partitions": p, "consumers": c} for p, c in ((1, 1), (4, 2), (8, 4))}
    return [
        Cell("capacity-p1-c1", "capacity", axes[1], probes(0.8), (18_500, 17_600, 19_900), unsure),
        Cell("capacity-p4-c2", "capacity", axes[4], probes(1.0), (23_100, 22_300, 24_700), sound),
        Cell("capacity-p8-c4", "capacity", axes[8], (("climb", 500, False),), (250, 200, 500), none),
    ]


def scaling_cells() -> list[Cell]:
    """Drains over many consumers, by the Universal Scalability Law."""
    found = []
    for n in (1, 2, 3, 4, 6, 8):
        rate = 12_000 * n / (1 + 0.08 * (n - 1) + 0.004 * n * (n - 1))
        found.append(Cell(f"drain-p8-c{n}", "drain", {"partitions": 8, "consumers": n}, rate=rate))
    return found


if __name__ == "__main__":
    often = {(f"steady-p{p}-c{c}", 1): 3 for p in (1, 3) for c in (1, 2)}
    everything = Plan(
        [
            *(scaling_cells() if "--scaling" in sys.argv else quick_cells()),
            *(searched_cells() if "--searched" in sys.argv else []),
        ],
        cores=16 if "--scaling" in sys.argv else 2,
        lost={("drain-p3-c2", 2): 12} if "--lost" in sys.argv else {},
        void={("steady-p1-c2", 2): 1} | (often if "--void" in sys.argv else {}),
        requests=12_000,
    )
    print(write(Path(sys.argv[1]), everything))  # noqa: T201  its output

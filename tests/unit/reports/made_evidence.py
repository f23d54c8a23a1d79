"""What a repeat of the synthetic bundle tells beside its numbers: witness, event loops, counters, processes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.cells.bounds import Bounds
from bundle.result import KafkaUse, LoopLag, MongoUse, WitnessAgreement


def witness(p50_ms: float, rng: np.random.Generator) -> WitnessAgreement:
    """What a prober of single events read: a little late, by the distance of its polls."""
    return WitnessAgreement(
        events=int(rng.integers(90, 110)),
        disagreeing=0,
        tolerance_ms=Bounds().witness_tolerance_ms,
        resolution_ms=float(rng.uniform(1.2, 2.4)),
        seen_p50_ms=p50_ms + float(rng.uniform(0.3, 1.2)),
        logged_p50_ms=p50_ms,
        beyond_max_ms=float(rng.uniform(0.0, 1.4)),
    )


def counters(rate: float, load_share: float, rng: np.random.Generator, *, through_http: bool) -> dict[str, Any]:
    """Counters that go with ``rate`` events/s, which is ``load_share`` of what the system can."""
    lag = 2.0 + 60 * load_share**6
    lags = {role: LoopLag(lag * scale, lag * scale * 4) for role, scale in (("api", 1.0), ("worker", 2.0))}
    if not through_http:
        lags.pop("api")
    noise = float(rng.lognormal(0, 0.05))
    return {
        "event_loop_lag_ms": lags,
        "loopback_bytes_per_s": rate * 1900 * noise,
        "kafka_use": KafkaUse(
            bytes_in_per_s=rate * 240 if through_http else 0.0,
            bytes_out_per_s=rate * 240,
            messages_in_per_s=rate if through_http else 0.0,
            request_queue_max=float(round(1 + 3 * load_share)),
            handlers_busy_share=0.12 * load_share * noise,
        ),
        "mongodb_use": MongoUse(
            inserts_per_s=rate,
            write_tickets_used_mean=1.4 * load_share * noise,
            write_tickets_used_max=2.0,
            write_tickets=128.0,
            queued_writers_max=0.0,
            cache_used_share_max=0.08 + 0.1 * load_share,
            cache_dirty_share_max=0.04 + 0.05 * load_share,
            journal_bytes_per_s=rate * 310,
            journal_sync_share=0.35 * load_share * noise,
            network_in_bytes_per_s=rate * 260,
        ),
    }


def bounds_measured(result: dict[str, Any], rng: np.random.Generator) -> dict[str, float]:
    """What was measured for each bound of validity; the values of a drain are those that it has."""
    measured: dict[str, float | None] = {
        "schedule_delay_p99_ms": result.get("schedule_delay_p99_ms"),
        "generator_cpu_share": result["cpu_cores_per_role"]["generator"],
        "unsent": 0.0,
        "clock_drift_ms_per_s": result["clock_drift_max_ms_per_s"],
        "drain_timeout_s": result["duration_s"].get("drain"),
        "negative_duration_ms": float(rng.uniform(0.2, 0.95)),
        "witness_tolerance_ms": result["witness"].beyond_max_ms if "witness" in result else None,
        "disturbed_share": float(rng.uniform(0.0, 0.08)),
        "compare_share": 1.0,
    }
    return {name: value for name, value in measured.items() if value is not None}


def processes(cores: dict[str, float], rate: float) -> dict[str, Any]:
    """How the CPU of each role splits, and what else its processes did."""
    return {
        "cpu_user_cores_per_role": {role: used * 0.78 for role, used in cores.items()},
        "cpu_system_cores_per_role": {role: used * 0.22 for role, used in cores.items()},
        "busiest_process_cores_per_role": {
            role: used * (0.6 if role == "worker" else 1.0) for role, used in cores.items()
        },
        "context_switches_per_s_per_role": {role: 200 + used * 4000 for role, used in cores.items()},
        "write_bytes_per_s_per_role": {
            role: rate * {"mongodb": 620.0, "kafka": 240.0}.get(role, 0.0) for role in cores
        },
    }

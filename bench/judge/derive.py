"""From a repeat's evidence to its result: window, throughput, durations, use of the machine, verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import UNSET

from bench import kinds
from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.evidence import durations
from bench.evidence.durations import EventDurations, RequestDurations
from bench.evidence.evidence import Evidence, Happened
from bench.judge import agreement, audit, causality, detectors, validity
from bench.judge.detectors import Detector, Detectors
from bench.kinds import naming
from bench.kinds.kind import Seen
from bench.observe import kafkacounters, looplag, mongocounters, usage
from bench.search import probe
from bundle.reported import NOT_REPORTED, missing
from bundle.result import Consumer, Percentiles, Result, Window

ENOUGH_REQUESTS = 299  # to show by their silence that at most 1% are late
_NS = 1_000_000_000


@dataclass(frozen=True)
class Identity:
    """Which repeat it is: cell, round, attempt, when it began; of a probe, the step of the search too."""

    cell: CellSpec
    round: int
    attempt: int
    run_number: int
    started_at: str
    offered_load_events_per_s: float | None
    step: str = ""


def result_of(
    identity: Identity,
    evidence: Evidence,
    happened: Happened,
    bounds: Bounds,
    objective: Objective,
    looked_for: Detectors = detectors.ALL,
) -> Result:
    """Judge one repeat. ``looked_for``: only the self-test leaves anything out."""
    cell = identity.cell
    kind = kinds.named(cell.kind)
    window = kind.window(cell, evidence)
    start_ns, end_ns = round(window.start_s * _NS), round(window.end_s * _NS)
    verdict = audit.account(
        evidence.audited,
        evidence.scheduled,
        evidence.deliveries,
        evidence.documents,
        evidence.leftovers,
        looked_for,
        evidence.reports,
    )
    stored, offered = _stored_in(window, evidence), _offered_in(window, evidence)
    steady = kind.through_http
    stamped = "stamps" in evidence.reports
    requests = durations.of_requests(evidence.offered, start_ns, end_ns)
    events = events_of(evidence, window, looked_for)
    stamps = causality.stamps(evidence, worker_crashed=happened.worker_crashed)
    clocks = causality.check(evidence.audited, stamps, bounds, looked_for)
    witness = agreement.check(evidence, stamps, (start_ns, end_ns), bounds, looked_for)
    delay_p99_ms = _p99_ms(requests) if steady else None
    response_time = durations.percentiles(requests.response_time) if steady else None
    delivery_latency = durations.percentiles(events.delivery_latency, events.request) if steady and stamped else None
    epoch_ns = evidence.offered.epoch_monotonic_ns
    use = usage.of_window(evidence.samples, epoch_ns + start_ns, epoch_ns + end_ns)
    consumers, told = _consumers(evidence), evidence.counters
    disturbance = usage.disturbance(evidence.samples, epoch_ns + start_ns, epoch_ns + end_ns)
    measured = validity.measured(
        evidence,
        happened,
        verdict.audit,
        use,
        disturbance,
        delay_p99_ms,
        validity.Checked(clocks, witness),
        drain_window=None if steady else window,
    )
    reasons = [
        *verdict.reasons,
        *validity.broken(measured, happened, bounds, window, disturbance, looked_for),
        *validity.compared_too_few(verdict.audit, bounds),
        *validity.wrong_clocks(clocks, measured, bounds, looked_for),
        *validity.wrong_sums(events, looked_for),
        *witness.reasons,
    ]
    findings = [*(happened.crashes if Detector.CRASH in looked_for else ()), *verdict.findings]
    refused = _refused(verdict.audit.rejected, verdict.audit.in_doubt, verdict.audit.offered, objective)
    missed, unshown = _held_against(objective, response_time, delivery_latency, len(requests.response_time))
    if steady and not stamped and objective.delivery_latency_p99_ms is not None:
        unshown.append(f"objective not shown: delivery latency is {NOT_REPORTED}")
    if Detector.OBJECTIVE not in looked_for:
        missed, unshown = [], []
    kept_up = probe.keeping_up(window, evidence) if steady and stamped else None
    seen = Seen(
        evidence=evidence,
        window=window,
        kept_up=kept_up,
        step=identity.step,
        findings=findings,
        refused=refused,
        missed=missed,
        unshown=unshown,
        objective=objective,
        lost=happened.lost,
        beside=happened.beside,
    )
    judged = kind.verdict(cell, seen)
    return Result(
        cell=cell.id,
        kind=cell.kind,
        axes=naming.axes_of(cell),
        round=identity.round,
        attempt=identity.attempt,
        run_number=identity.run_number,
        started_at=identity.started_at,
        valid=not reasons,
        reasons=tuple(reasons),
        findings=tuple(judged.findings),
        window=window,
        throughput_events_per_s=stored / window.length_s if stamped and window.length_s > 0 else None,
        offered_load_events_per_s=identity.offered_load_events_per_s,
        achieved=stored / offered if steady and stamped and offered else None,
        audit=verdict.audit,
        requests=len(requests.response_time) if steady else 0,
        response_time_ms=response_time,
        service_time_ms=durations.percentiles(requests.service_time) if steady else None,
        delivery_latency_ms=delivery_latency,
        stages_ms=durations.stages(events) if steady and stamped else None,
        cohorts=tuple(durations.cohorts(events)) if steady and stamped else (),
        schedule_delay_p99_ms=delay_p99_ms,
        cpu_s_per_role=use.cpu_s,
        cpu_cores_per_role=use.cpu_cores,
        memory_max_bytes_per_role=use.memory_max_bytes,
        disturbance=disturbance,
        cpu_user_cores_per_role=use.cpu_user_cores,
        cpu_system_cores_per_role=use.cpu_system_cores,
        busiest_process_cores_per_role=use.busiest_process_cores,
        context_switches_per_s_per_role=use.context_switches_per_s,
        write_bytes_per_s_per_role=use.write_bytes_per_s,
        loopback_bytes_per_s=use.loopback_bytes_per_s,
        event_loop_lag_ms=looplag.use(told.loop_lag, epoch_ns + start_ns, epoch_ns + end_ns),
        kafka_use=kafkacounters.use(told.kafka, epoch_ns + start_ns, epoch_ns + end_ns),
        mongodb_use=mongocounters.use(told.mongodb, epoch_ns + start_ns, epoch_ns + end_ns),
        probe=judged.probe,
        keeping_up=kept_up,
        witness=witness.compared,
        consumers=tuple(consumers),
        partitions_total=sum(each.partition_count for each in consumers),
        clock_drift_max_ms_per_s=evidence.clock.drift_max_ms_per_s(),
        negative_durations=clocks.counts,
        bounds_measured=measured,
        duration_s=happened.duration_s,
        not_reported=missing(evidence.reports),
        of_kind=judged.of_kind or UNSET,
    )


def broken_down(identity: Identity, error: Exception, folder: Path) -> Result:
    """Return the result of a repeat that could not be run to its end. ``folder``: the one that it was run in."""
    told = f"{type(error).__name__}: {error}".replace(f"{folder}/", "")  # it will not be called so any more
    return Result(
        cell=identity.cell.id,
        kind=identity.cell.kind,
        axes=naming.axes_of(identity.cell),
        round=identity.round,
        attempt=identity.attempt,
        run_number=identity.run_number,
        started_at=identity.started_at,
        valid=False,
        reasons=(f"the repeat broke down before it could be measured: {told}",),
        offered_load_events_per_s=identity.offered_load_events_per_s,
    )


def events_of(evidence: Evidence, window: Window, looked_for: Detectors = detectors.ALL) -> EventDurations:
    """Derive the durations of the events of ``window``."""
    start_ns, end_ns = round(window.start_s * _NS), round(window.end_s * _NS)
    events = durations.of_events(evidence.offered, evidence.first_deliveries, evidence.clock, start_ns, end_ns)
    if Detector.WAITING in looked_for:
        return events
    return replace(events, delivery_latency=events.stages["write"])  # what a worker would say that timed itself


def _stored_in(window: Window, evidence: Evidence) -> int:
    """Count events first acknowledged in the window. What the first acknowledgement of a drain brought is not of it."""
    moments = (evidence.first_deliveries["acknowledged_ns"] - evidence.offered.epoch_monotonic_ns) / _NS
    return int(np.count_nonzero((moments > window.start_s) & (moments <= window.end_s)))


def _offered_in(window: Window, evidence: Evidence) -> int:
    rows = evidence.offered.rows
    inside = (rows["intended"] >= window.start_s * _NS) & (rows["intended"] < window.end_s * _NS)
    return int(rows["count"][inside].sum())


def _p99_ms(requests: RequestDurations) -> float | None:
    return float(np.quantile(requests.schedule_delay, 0.99)) / 1e6 if len(requests.schedule_delay) else None


def _consumers(evidence: Evidence) -> list[Consumer]:
    return [
        Consumer(
            name=each.name,
            partitions=each.partitions,
            partition_count=sum(len(numbers) for numbers in each.partitions.values()),
            records=each.records,
            idle=not each.partitions,
        )
        for each in evidence.deliveries.consumers
    ]


def _refused(rejected: int, in_doubt: int, offered: int, objective: Objective) -> list[str]:
    findings = []
    allowed = objective.rejected_share or 0.0
    if rejected > allowed * offered:
        findings.append(f"{rejected:,} events rejected of {offered:,} offered (objective: at most {allowed:.1%})")
    if in_doubt:
        findings.append(f"{in_doubt:,} events in doubt: no answer came")
    return findings


def _held_against(
    objective: Objective, response_time: Percentiles | None, delivery_latency: Percentiles | None, requests: int
) -> tuple[list[str], list[str]]:
    """Hold what was measured against the objective: in what it was missed, and what could not be shown.

    Where a p99 has too few requests beyond it to be told, it is met all the same if not one request was later than it
    may be, of so many that more than 1% would have shown with 95% confidence (0.99 to the power of 299 is below 5%).
    """
    pairs = (
        ("response time", response_time, objective.response_time_p99_ms),
        ("delivery latency", delivery_latency, objective.delivery_latency_p99_ms),
    )
    missed, unshown = [], []
    for name, measured, limit_ms in pairs:
        if measured is None or limit_ms is None:
            continue
        if measured.p99 is None:
            none_later = measured.max is not None and measured.max <= limit_ms
            if not none_later or requests < ENOUGH_REQUESTS:
                unshown.append(f"objective not shown: too few requests for the p99 of {name}: offer more, or longer")
        elif measured.p99 > limit_ms:
            missed.append(f"objective missed: {name} p99 {measured.p99:.1f} ms > {limit_ms:g} ms")
    return missed, unshown

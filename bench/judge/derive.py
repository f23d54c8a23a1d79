"""From a repeat's evidence to its result: window, throughput, durations, use of the machine, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import UNSET

from bench import kinds
from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.evidence import durations
from bench.evidence.evidence import Evidence, Happened
from bench.judge import agreement, audit, causality, detectors, measurements, objectives, validity
from bench.judge.causality import Clocks
from bench.judge.detectors import Detector, Detectors
from bench.judge.measurements import Measurements
from bench.kinds import naming
from bench.kinds.kind import JudgedEvidence, KindVerdict
from bench.observe import kafkacounters, looplag, mongocounters
from bench.search import probe
from bundle.reported import missing
from bundle.result import Audit, Result, Sustained


@dataclass(frozen=True)
class RepeatIdentity:
    """Which repeat it is: cell, round, attempt, when it began; of a probe, the step of the search too."""

    cell: CellSpec
    round: int
    attempt: int
    run_number: int
    started_at: str
    offered_load_events_per_s: float | None
    step: str = ""


def result_of(
    identity: RepeatIdentity,
    evidence: Evidence,
    happened: Happened,
    bounds: Bounds,
    objective: Objective,
    looked_for: Detectors = detectors.ALL,
) -> Result:
    """Judge one repeat. ``looked_for``: only the self-test leaves anything out."""
    measured = measurements.measure(identity.cell, evidence, looked_for)
    accounted = audit.account(
        evidence.audited,
        evidence.scheduled,
        evidence.deliveries,
        evidence.documents,
        evidence.leftovers,
        looked_for,
        evidence.reports,
    )
    checked = _check(measured, accounted.audit, evidence, happened, bounds, looked_for)
    crashes = happened.crashes if Detector.CRASH in looked_for else ()
    missed, unshown = objectives.missed_or_unshown(measured, objective)
    seen = JudgedEvidence(
        evidence=evidence,
        window=measured.window,
        kept_up=probe.keeping_up(measured.window, evidence) if measured.timed else None,
        step=identity.step,
        findings=[*crashes, *accounted.findings],
        refused=objectives.refused(accounted.audit, objective),
        missed=missed if Detector.OBJECTIVE in looked_for else [],
        unshown=unshown if Detector.OBJECTIVE in looked_for else [],
        objective=objective,
        lost=happened.lost,
        beside=happened.beside,
    )
    verdict = kinds.named(identity.cell.kind).verdict(identity.cell, seen)
    return _result(identity, evidence, happened, _Found(measured, accounted, checked, seen.kept_up, verdict))


@dataclass(frozen=True)
class _Checks:
    """What the checks of the measurement itself found. ``bounds_measured``: by the bound's name."""

    clocks: Clocks
    witness: agreement.WitnessCheck
    bounds_measured: dict[str, float]
    reasons: Sequence[str]


def _check(
    measured: Measurements,
    audited: Audit,
    evidence: Evidence,
    happened: Happened,
    bounds: Bounds,
    looked_for: Detectors,
) -> _Checks:
    """Check whether the measurement is sound: clocks, witness, generator, machine and sums."""
    window, start_ns = measured.window, evidence.offered.epoch_monotonic_ns
    inside_ns = (measured.moments_ns[0] - start_ns, measured.moments_ns[1] - start_ns)
    stamps = causality.stamps(evidence, worker_crashed=happened.worker_crashed)
    clocks = causality.check(evidence.audited, stamps, bounds, looked_for)
    witness = agreement.check(evidence, stamps, inside_ns, bounds, looked_for)
    found = validity.measured(
        evidence,
        happened,
        audited,
        measured.use,
        measured.disturbance,
        measured.schedule_delay_p99_ms,
        validity.Checked(clocks, witness),
        drain_window=None if measured.through_http else window,
    )
    reasons = [
        *validity.broken(found, happened, bounds, window, measured.disturbance, looked_for),
        *validity.compared_too_few(audited, bounds),
        *validity.wrong_clocks(clocks, found, bounds, looked_for),
        *validity.wrong_sums(measured.events, looked_for),
        *witness.reasons,
    ]
    return _Checks(clocks, witness, found, reasons)


@dataclass(frozen=True)
class _Found:
    """All that was found of one repeat. ``verdict``: what its kind makes of it."""

    measured: Measurements
    accounted: audit.Accounting
    checked: _Checks
    kept_up: Sustained | None
    verdict: KindVerdict


def _result(identity: RepeatIdentity, evidence: Evidence, happened: Happened, found: _Found) -> Result:
    """Write down what was found, in the fields of the bundle."""
    measured, checked, verdict = found.measured, found.checked, found.verdict
    use, counters, between = measured.use, evidence.counters, measured.moments_ns
    reasons = (*found.accounted.reasons, *checked.reasons)
    consumers = evidence.deliveries.consumers
    return Result(
        cell=identity.cell.id,
        kind=identity.cell.kind,
        axes=naming.axes_of(identity.cell),
        round=identity.round,
        attempt=identity.attempt,
        run_number=identity.run_number,
        started_at=identity.started_at,
        valid=not reasons,
        reasons=reasons,
        findings=tuple(verdict.findings),
        offered_load_events_per_s=identity.offered_load_events_per_s,
        audit=found.accounted.audit,
        window=measured.window,
        throughput_events_per_s=measured.throughput_events_per_s,
        achieved=measured.achieved,
        requests=len(measured.requests.response_time) if measured.through_http else 0,
        response_time_ms=measured.response_time,
        service_time_ms=measured.service_time,
        delivery_latency_ms=measured.delivery_latency,
        stages_ms=durations.stages(measured.events) if measured.timed else None,
        cohorts=tuple(durations.cohorts(measured.events)) if measured.timed else (),
        schedule_delay_p99_ms=measured.schedule_delay_p99_ms,
        cpu_s_per_role=use.cpu_s,
        cpu_cores_per_role=use.cpu_cores,
        memory_max_bytes_per_role=use.memory_max_bytes,
        disturbance=measured.disturbance,
        cpu_user_cores_per_role=use.cpu_user_cores,
        cpu_system_cores_per_role=use.cpu_system_cores,
        busiest_process_cores_per_role=use.busiest_process_cores,
        context_switches_per_s_per_role=use.context_switches_per_s,
        write_bytes_per_s_per_role=use.write_bytes_per_s,
        loopback_bytes_per_s=use.loopback_bytes_per_s,
        event_loop_lag_ms=looplag.use(counters.loop_lag, *between),
        kafka_use=kafkacounters.use(counters.kafka, *between),
        mongodb_use=mongocounters.use(counters.mongodb, *between),
        witness=checked.witness.compared,
        consumers=consumers,
        partitions_total=sum(each.partition_count for each in consumers),
        clock_drift_max_ms_per_s=evidence.clock.drift_max_ms_per_s(),
        negative_durations=checked.clocks.counts,
        bounds_measured=checked.bounds_measured,
        probe=verdict.probe,
        keeping_up=found.kept_up,
        duration_s=happened.duration_s,
        not_reported=missing(evidence.reports),
        of_kind=verdict.of_kind or UNSET,
    )


def broken_down(identity: RepeatIdentity, error: Exception, folder: Path) -> Result:
    """Return the result of a repeat that could not be run to its end. ``folder``: the one that it was run in."""
    message = f"{type(error).__name__}: {error}".replace(f"{folder}/", "")  # it will not be called so any more
    reason = f"the repeat broke down before it could be measured: {message}"
    return Result(
        cell=identity.cell.id,
        kind=identity.cell.kind,
        axes=naming.axes_of(identity.cell),
        round=identity.round,
        attempt=identity.attempt,
        run_number=identity.run_number,
        started_at=identity.started_at,
        valid=False,
        reasons=(reason,),
        offered_load_events_per_s=identity.offered_load_events_per_s,
    )

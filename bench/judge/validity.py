"""The bounds of validity: what was measured for each, and which are broken, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.cells.bounds import Bounds
from bench.evidence import durations
from bench.evidence.durations import EventDurations
from bench.evidence.evidence import Evidence, Happened
from bench.judge import agreement, causality
from bench.judge.causality import Clocks
from bench.judge.detectors import Detector, Detectors
from bench.observe.busy import WORTH_NAMING
from bench.observe.usage import UsageInWindow
from bench.words import culprits
from bundle.result import Audit, Disturbance, Window
from traffic.ledger import Outcome

SHORTEST_WINDOW_S = 1.5  # in a shorter window, one look per second does not show who used the machine
_SIGMAS = 5.0  # of the sampling that picks the documents to compare
_MS = 1_000_000


@dataclass(frozen=True)
class Checked:
    """The results of the checks of the stamps."""

    clocks: Clocks
    witness: agreement.WitnessCheck

    def below_zero_ms(self) -> float:
        """How far below zero the lowest duration is in which a record timestamp takes part."""
        lowest_ns = [self.clocks.lowest_ns.get(order.name, 0) for order in causality.ORDERS if order.is_coarse]
        return max(0, *(-each for each in lowest_ns)) / _MS

    def disagreement_ms(self) -> float | None:
        """The most that witness and deliveries log differ by, of one event or in the median; None if not compared."""
        compared = self.witness.compared
        return max(compared.beyond_max_ms, self.witness.late_ms or 0.0) if compared and compared.events else None


def measured(
    evidence: Evidence,
    happened: Happened,
    audited: Audit,
    use: UsageInWindow,
    disturbance: Disturbance | None,
    delay_p99_ms: float | None,
    checked: Checked,
    drain_window: Window | None = None,
) -> dict[str, float]:
    """Return what was measured for each bound, by the bound's name; without bounds that do not apply to this repeat.

    ``drain_window``: the window of a drain.
    """
    found = {
        "schedule_delay_p99_ms": delay_p99_ms,
        "generator_cpu_share": use.busiest_process_cores.get("generator", 0.0),
        "unsent": float(_unsent(evidence)),
        "clock_drift_ms_per_s": evidence.clock.drift_max_ms_per_s(),
        "drain_timeout_s": happened.duration_s.get("drain"),
        "negative_duration_ms": checked.below_zero_ms(),
        "disturbed_share": disturbance.other_programs + disturbance.stolen if disturbance else None,
        "witness_tolerance_ms": checked.disagreement_ms(),
        "compare_share": audited.compared / audited.stored if audited.stored else None,
        "drain_window_s": drain_window.length_s if drain_window else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def left_alone(disturbance: Disturbance | None, length_s: float, bounds: Bounds) -> bool:
    """Say whether others used no more of the machine than they may, as far as a window of ``length_s`` can tell."""
    if disturbance is None or length_s < SHORTEST_WINDOW_S:
        return True
    return disturbance.other_programs + disturbance.stolen <= bounds.disturbed_share


def broken(
    found: Mapping[str, float],
    happened: Happened,
    bounds: Bounds,
    window: Window,
    disturbance: Disturbance | None,
    looked_for: Detectors,
) -> list[str]:
    """Hold what was :func:`measured` against the bounds of docs/concepts.md; the clocks' are held apart from it."""
    reasons = []
    delay_p99_ms = found.get("schedule_delay_p99_ms")
    length_s = found.get("drain_window_s", window.length_s)
    if window.length_s <= 0:
        reasons.append("window: nothing was left to measure after the warm-up: preload more events")
    elif "drain_window_s" in found and length_s < bounds.drain_window_s:
        reasons.append(
            f"window: it lasted {length_s:.1f} s < {bounds.drain_window_s:g} s: the next attempt gets a larger backlog"
        )
    late = delay_p99_ms is not None and delay_p99_ms > bounds.schedule_delay_p99_ms
    if late and Detector.SCHEDULE_DELAY in looked_for:
        reasons.append(
            f"generator: schedule delay p99 {delay_p99_ms:.1f} ms > {bounds.schedule_delay_p99_ms:g} ms: "
            f"the load was not the load intended{_blame(disturbance)}"
        )
    if disturbance is not None and not left_alone(disturbance, window.length_s, bounds):
        reasons.append(
            f"machine: other programs used {disturbance.other_programs:.0%} of its CPU and its host took "
            f"{disturbance.stolen:.0%}, more than {bounds.disturbed_share:.0%} together: {culprits(disturbance)}"
        )
    busiest = found["generator_cpu_share"]
    if busiest > bounds.generator_cpu_share and Detector.GENERATOR_SHARE in looked_for:
        reasons.append(
            f"generator: a process used {busiest:.0%} of a core > {bounds.generator_cpu_share:.0%}: "
            "use more generator_processes"
        )
    unsent = found["unsent"]
    if unsent > bounds.unsent:
        reasons.append(f"generator: {unsent:.0f} events unsent > {bounds.unsent}")
    if happened.generator_exit_code != 0:
        reasons.append(f"generator: it ended with exit code {happened.generator_exit_code}, see logs/generator.log")
    if not happened.drained and not happened.crashes:  # after a crash, what is left is counted as a finding
        waited_s = happened.duration_s.get("drain", 0.0)
        reasons.append(
            f"drain: the backlog was not gone after {waited_s:.0f} s, of at most {bounds.drain_timeout_s:g} s"
        )
    return reasons


def wrong_clocks(clocks: Clocks, found: Mapping[str, float], bounds: Bounds, looked_for: Detectors) -> list[str]:
    """Say what the clocks cannot be right about, and whose it must be."""
    drift_ms = found["clock_drift_ms_per_s"]
    drifted = drift_ms > bounds.clock_drift_ms_per_s and Detector.CLOCK_DRIFT in looked_for
    reasons = causality.reasons(clocks, drifted=drifted)
    if drifted:
        said = f"wall and monotonic clock drifted {drift_ms:.2f} ms in a second > {bounds.clock_drift_ms_per_s:g} ms"
        reasons.insert(0, f"clocks: {said}: {causality.DRIFTED}")
    return reasons


def compared_too_few(audited: Audit, bounds: Bounds) -> list[str]:
    """Check that so many documents were compared with what was sent as were asked for, as far as chance allows."""
    share = bounds.compare_share
    least = share * audited.stored - _SIGMAS * math.sqrt(share * (1 - share) * audited.stored)
    if audited.compared >= least:
        return []
    return [f"accounting: {audited.compared:,} of {audited.stored:,} documents were compared, {share:.0%} asked for"]


def wrong_sums(events: EventDurations, looked_for: Detectors) -> list[str]:
    """Check that every delivery latency is the sum of its stages, to the nanosecond."""
    odd = durations.mismatches(events) if Detector.WAITING in looked_for else 0
    return [f"stages: of {odd:,} events the four do not add up to the delivery latency"] if odd else []


def _unsent(evidence: Evidence) -> int:
    rows = evidence.offered.rows
    return int(rows["count"][rows["outcome"] == Outcome.UNSENT].sum())


def _blame(found: Disturbance | None) -> str:
    """Say what disturbed the machine, if anything did."""
    if found is None or max(found.other_programs, found.stolen) < WORTH_NAMING:
        return ""
    return (
        f" (in the window other programs used {found.other_programs:.0%} of the machine's CPU, "
        f"and its host took {found.stolen:.0%}): {culprits(found)}"
    )

"""A repeat held against its objective: what was refused, what was missed, and what could not be shown."""

from __future__ import annotations

from bench.cells.objective import Objective
from bench.judge.measurements import Measurements
from bundle.reported import NOT_REPORTED
from bundle.result import Audit

ENOUGH_REQUESTS = 299  # to show by their silence that at most 1% are late


def refused(audited: Audit, objective: Objective) -> list[str]:
    """Return a finding for events rejected beyond what ``objective`` allows, and one for those in doubt."""
    findings = []
    allowed = objective.rejected_share or 0.0
    if audited.rejected > allowed * audited.offered:
        findings.append(
            f"{audited.rejected:,} events rejected of {audited.offered:,} offered (objective: at most {allowed:.1%})"
        )
    if audited.in_doubt:
        findings.append(f"{audited.in_doubt:,} events in doubt: no answer came")
    return findings


def missed_or_unshown(measured: Measurements, objective: Objective) -> tuple[list[str], list[str]]:
    """Hold the times that were measured against ``objective``: where it was missed, and what could not be shown.

    Where a p99 has too few requests beyond it to be known, it is met all the same if not one request was later than it
    may be, of so many that more than 1% would have shown with 95% confidence (0.99 to the power of 299 is below 5%).
    """
    times = (
        ("response time", measured.response_time, objective.response_time_p99_ms),
        ("delivery latency", measured.delivery_latency, objective.delivery_latency_p99_ms),
    )
    requests = len(measured.requests.response_time)
    missed, unshown = [], []
    for name, percentiles, limit_ms in times:
        if percentiles is None or limit_ms is None:
            continue
        if percentiles.p99 is None:
            none_later = percentiles.max is not None and percentiles.max <= limit_ms
            if not none_later or requests < ENOUGH_REQUESTS:
                unshown.append(f"objective not shown: too few requests for the p99 of {name}: offer more, or longer")
        elif percentiles.p99 > limit_ms:
            missed.append(f"objective missed: {name} p99 {percentiles.p99:.1f} ms > {limit_ms:g} ms")
    if measured.through_http and not measured.stamped and objective.delivery_latency_p99_ms is not None:
        unshown.append(f"objective not shown: delivery latency is {NOT_REPORTED}")
    return missed, unshown

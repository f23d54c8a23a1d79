"""From stamps to durations: response time, service time, delivery latency and its four stages.

All arrays are int64 nanoseconds. A delivery latency is the sum of its stages, exactly, event by
event: each stage begins where the one before it ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.evidence.deliveries import Deliveries
from bench.evidence.offered import Offered
from bench.observe.sampling import ClockSamples
from bundle.result import Cohort, Percentiles, StageStatistics
from stats.percentiles import PERCENTILES, REQUESTS_BEYOND
from traffic.ledger import Outcome

COHORTS = {"p50": (0.45, 0.55), "p90": (0.89, 0.91), "p95": (0.945, 0.955), "p99": (0.985, 0.995)}
STAGES = ("schedule_delay", "http_and_api", "kafka_and_backlog", "write")
_MS = 1_000_000


@dataclass(frozen=True)
class RequestDurations:
    """One value a request intended in the window: the rows of one request share their sent stamp.

    ``schedule_delay`` has every request that was sent, the other two those that were accepted, at
    least in part: a refusal is quick, and would flatter the system.
    """

    intended: NDArray[np.int64]
    schedule_delay: NDArray[np.int64]
    accepted_intended: NDArray[np.int64]
    response_time: NDArray[np.int64]
    service_time: NDArray[np.int64]


@dataclass(frozen=True)
class EventDurations:
    """One value an event: accepted, delivered, and intended in the window. ``request`` numbers its request."""

    intended: NDArray[np.int64]
    request: NDArray[np.int64]
    delivery_latency: NDArray[np.int64]
    stages: dict[str, NDArray[np.int64]]


def of_requests(offered: Offered, start_ns: int, end_ns: int) -> RequestDurations:
    """Derive what the ledger alone shows, for requests intended in [start_ns, end_ns)."""
    rows = offered.rows
    inside = (rows["intended"] >= start_ns) & (rows["intended"] < end_ns) & (rows["sent"] >= 0)
    sent = _first_of_each_request(rows[inside])
    accepted = _first_of_each_request(rows[inside & (rows["outcome"] == Outcome.ACCEPTED)])
    return RequestDurations(
        intended=sent["intended"],
        schedule_delay=sent["sent"] - sent["intended"],
        accepted_intended=accepted["intended"],
        response_time=accepted["answered"] - accepted["intended"],
        service_time=accepted["answered"] - accepted["sent"],
    )


def of_events(
    offered: Offered, first: NDArray[np.void], clock: ClockSamples, start_ns: int, end_ns: int
) -> EventDurations:
    """Join ledger and deliveries, for accepted events intended in [start_ns, end_ns).

    ``first``: what :func:`first_deliveries` returns.
    """
    index = first["index"]
    intended = offered.per_event("intended")[index]
    inside = (intended >= start_ns) & (intended < end_ns)
    inside &= offered.per_event("outcome")[index] == Outcome.ACCEPTED
    first, index, intended = first[inside], index[inside], intended[inside]
    sent = offered.per_event("sent")[index]
    received = clock.to_monotonic(first["record_timestamp_ms"] * _MS) - offered.epoch_monotonic_ns
    fetched = first["fetched_ns"] - offered.epoch_monotonic_ns
    acknowledged = first["acknowledged_ns"] - offered.epoch_monotonic_ns
    return EventDurations(
        intended=intended,
        request=offered.row_of_event[index].astype(np.int64),
        delivery_latency=acknowledged - intended,
        stages={
            "schedule_delay": sent - intended,
            "http_and_api": received - sent,
            "kafka_and_backlog": fetched - received,
            "write": acknowledged - fetched,
        },
    )


def first_deliveries(offered: Offered, deliveries: Deliveries) -> NDArray[np.void]:
    """Return the earliest acknowledged delivery of each event of the run, with its event ``index``, by index."""
    index = offered.index_of(deliveries.rows["id_low"])
    known = np.flatnonzero(index >= 0)
    latest_first = known[np.argsort(deliveries.rows["acknowledged_ns"][known], kind="stable")][::-1]
    row_of_event = np.full(offered.events, -1, dtype=np.int64)
    row_of_event[index[latest_first]] = latest_first  # of several the one assigned last stays: the earliest
    delivered = np.flatnonzero(row_of_event >= 0)
    rows = row_of_event[delivered]
    joined = np.zeros(len(delivered), dtype=[*deliveries.rows.dtype.descr, ("index", "<i8")])
    for name in deliveries.rows.dtype.names or ():
        joined[name] = deliveries.rows[name][rows]
    joined["index"] = delivered
    return joined


def percentiles(values: NDArray[np.int64], requests: NDArray[np.int64] | None = None) -> Percentiles:
    """Return the percentiles of ``values`` (ns) in ms, each only where 10 or more requests lie beyond it.

    ``requests``, shape of ``values``, numbers the request of each value: events of one request are
    one sample. Without it each value is a request of its own.
    """
    if not len(values):
        return Percentiles()
    found: dict[str, float | None] = {}
    beyond: dict[str, int] = {}
    for name, share in PERCENTILES.items():
        at = np.quantile(values, share, method="higher")
        above = values > at
        beyond[name] = int(above.sum()) if requests is None else len(np.unique(requests[above]))
        found[name] = float(at) / _MS if beyond[name] >= REQUESTS_BEYOND else None
    return Percentiles(**found, max=float(values.max()) / _MS, requests_beyond=beyond)


def stages(events: EventDurations) -> dict[str, StageStatistics] | None:
    """Summarise each stage in ms; None where no event was delivered."""
    if not len(events.delivery_latency):
        return None
    return {name: _statistics(events.stages[name]) for name in STAGES}


def cohorts(events: EventDurations) -> list[Cohort]:
    """Return on what the events around each percentile of delivery latency spent their time on (means, ms).

    Only around those that may be shown: with fewer requests beyond, the cohort would be one request's fate.
    """
    if not len(events.delivery_latency):
        return []
    latency = percentiles(events.delivery_latency, events.request)
    found = []
    for name, (low, high) in COHORTS.items():
        if getattr(latency, name) is None:
            continue
        bounds = np.quantile(events.delivery_latency, [low, high])
        inside = (events.delivery_latency >= bounds[0]) & (events.delivery_latency <= bounds[1])
        if inside.any():
            means = {stage: float(values[inside].mean()) / _MS for stage, values in events.stages.items()}
            found.append(Cohort(name, float(events.delivery_latency[inside].mean()) / _MS, means))
    return found


def mismatches(events: EventDurations) -> int:
    """Count the events whose four stages do not add up to their delivery latency, to the nanosecond."""
    total = sum((events.stages[name] for name in STAGES), np.zeros_like(events.delivery_latency))
    return int((total != events.delivery_latency).sum())


def _first_of_each_request(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Drop the further rows of a request: rows are ordered by stream and sequence, so they are neighbours."""
    keep = np.ones(len(rows), dtype=bool)
    keep[1:] = (rows["stream"][1:] != rows["stream"][:-1]) | (rows["sent"][1:] != rows["sent"][:-1])
    return rows[keep]


def _statistics(values: NDArray[np.int64]) -> StageStatistics:
    p50, p90, p95, p99 = np.quantile(values, [0.5, 0.9, 0.95, 0.99]) / _MS
    return StageStatistics(
        mean=float(values.mean()) / _MS,
        min=float(values.min()) / _MS,
        p50=float(p50),
        p90=float(p90),
        p95=float(p95),
        p99=float(p99),
        max=float(values.max()) / _MS,
    )

"""What a repeat measured in its window: rates, times and the use of the machine, held against nothing yet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench import kinds
from bench.cells.cellspec import CellSpec
from bench.evidence import durations
from bench.evidence.durations import EventDurations, RequestDurations
from bench.evidence.evidence import Evidence
from bench.judge import detectors
from bench.judge.detectors import Detector, Detectors
from bench.observe import usage
from bench.observe.usage import UsageInWindow
from bundle.result import Disturbance, Percentiles, Window

_NS = 1_000_000_000


@dataclass(frozen=True)
class Measurements:
    """Of one repeat; None where it has no such figure.

    ``through_http``: it was loaded with requests. ``stamped``: the system reports when it wrote. ``moments_ns``: where
    the window begins and ends on the monotonic clock. ``stored``, ``offered``: events in the window.
    """

    window: Window
    moments_ns: tuple[int, int]
    through_http: bool
    stamped: bool
    stored: int
    offered: int
    requests: RequestDurations
    events: EventDurations
    use: UsageInWindow
    disturbance: Disturbance | None

    @property
    def timed(self) -> bool:
        """Whether its events have a delivery latency."""
        return self.through_http and self.stamped

    @property
    def throughput_events_per_s(self) -> float | None:
        """Events stored per second of the window."""
        return self.stored / self.window.length_s if self.stamped and self.window.length_s > 0 else None

    @property
    def achieved(self) -> float | None:
        """Events stored per event offered."""
        return self.stored / self.offered if self.timed and self.offered else None

    @property
    def schedule_delay_p99_ms(self) -> float | None:
        """How late the generator sent."""
        delay = self.requests.schedule_delay
        return float(np.quantile(delay, 0.99)) / 1e6 if self.through_http and len(delay) else None

    @property
    def response_time(self) -> Percentiles | None:
        """In milliseconds."""
        return durations.percentiles(self.requests.response_time) if self.through_http else None

    @property
    def service_time(self) -> Percentiles | None:
        """In milliseconds."""
        return durations.percentiles(self.requests.service_time) if self.through_http else None

    @property
    def delivery_latency(self) -> Percentiles | None:
        """In milliseconds."""
        return durations.percentiles(self.events.delivery_latency, self.events.request) if self.timed else None


def measure(cell: CellSpec, evidence: Evidence, looked_for: Detectors) -> Measurements:
    """Measure a repeat of ``cell``. ``looked_for``: only the self-test leaves anything out."""
    kind = kinds.named(cell.kind)
    window = kind.window(cell, evidence)
    start_ns, end_ns = _edges_ns(window)
    epoch_ns = evidence.offered.epoch_monotonic_ns
    return Measurements(
        window=window,
        moments_ns=(epoch_ns + start_ns, epoch_ns + end_ns),
        through_http=kind.through_http,
        stamped="stamps" in evidence.reports,
        stored=_stored_in(window, evidence),
        offered=_offered_in(window, evidence),
        requests=durations.of_requests(evidence.offered, start_ns, end_ns),
        events=event_durations(evidence, window, looked_for),
        use=usage.of_window(evidence.samples, epoch_ns + start_ns, epoch_ns + end_ns),
        disturbance=usage.disturbance(evidence.samples, epoch_ns + start_ns, epoch_ns + end_ns),
    )


def event_durations(evidence: Evidence, window: Window, looked_for: Detectors = detectors.ALL) -> EventDurations:
    """Derive the durations of the events of ``window``."""
    events = durations.of_events(evidence.offered, evidence.first_deliveries, evidence.clock, *_edges_ns(window))
    if Detector.WAITING in looked_for:
        return events
    return replace(events, delivery_latency=events.stages["write"])  # what a worker would say that timed itself


def _edges_ns(window: Window) -> tuple[int, int]:
    return round(window.start_s * _NS), round(window.end_s * _NS)


def _stored_in(window: Window, evidence: Evidence) -> int:
    """Count events first acknowledged in the window. What the first acknowledgement of a drain brought is not of it."""
    moments = (evidence.first_deliveries["acknowledged_ns"] - evidence.offered.epoch_monotonic_ns) / _NS
    return int(np.count_nonzero((moments > window.start_s) & (moments <= window.end_s)))


def _offered_in(window: Window, evidence: Evidence) -> int:
    rows = evidence.offered.rows
    inside = (rows["intended"] >= window.start_s * _NS) & (rows["intended"] < window.end_s * _NS)
    return int(rows["count"][inside].sum())

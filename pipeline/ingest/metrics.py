"""The API's metrics for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipeline import looplag
from pipeline.ingest.admission import Admission
from pipeline.ingest.publishing.publisher import Publisher
from pipeline.metrics import DURATION_BUCKETS_S, SharedMetrics, exposition


class IngestMetrics:
    """Counters, gauges and histograms of one process; ``shared`` joins them with those of its siblings."""

    def __init__(self, shared: SharedMetrics | None = None) -> None:
        self._shared = shared
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tidemark_api_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.duration = Histogram(
            "tidemark_api_request_duration_seconds",
            "From the beginning of a request's handling to its answer",
            ["route"],
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self.accepted = Counter(
            "tidemark_api_events_accepted",
            "Events that Kafka has acknowledged and that were answered so",
            registry=self.registry,
        )
        self.rejected = Counter(
            "tidemark_api_events_rejected", "Events answered as not accepted", ["code"], registry=self.registry
        )
        self.in_flight_events = self._gauge("tidemark_api_in_flight_events", "Events on their way to Kafka")
        self.in_flight_bytes = self._gauge("tidemark_api_in_flight_bytes", "Bytes of bodies and events in hand")
        self.waiting = self._gauge(
            "tidemark_api_waiting_requests", "Requests that wait for room among what is in flight"
        )
        self.connected = self._gauge("tidemark_api_kafka_connected", "Processes that are connected to Kafka")
        self.processes = self._gauge("tidemark_api_processes", "Processes that answer")
        self.processes.set(1)
        self.reconnects = Counter(
            "tidemark_api_kafka_reconnects", "Connections to Kafka that were given up", registry=self.registry
        )
        self.loop_lag = Histogram(
            "tidemark_api_event_loop_lag_seconds",
            looplag.METRIC_HELP,
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )

    def observe(self, admission: Admission, publisher: Publisher) -> None:
        """Set the gauges to what is in flight now."""
        self.in_flight_events.set(admission.events)
        self.in_flight_bytes.set(admission.size_bytes)
        self.waiting.set(admission.waiting)
        self.connected.set(publisher.connected)

    def text(self) -> bytes:
        """Everything, of all processes, in Prometheus's text format."""
        return exposition(self.registry, self._shared)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, registry=self.registry, multiprocess_mode="livesum")

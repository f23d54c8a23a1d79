"""A worker's metrics for Prometheus, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from pipeline import looplag
from pipeline.addresses import place
from pipeline.errors import MissingPartError
from pipeline.metrics import DURATION_BUCKETS_S


class WorkerMetrics:
    """Counters and gauges; each is set where the thing happens."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.batches = Counter("tidemark_worker_batches", "Batches written and acknowledged", registry=self.registry)
        self.fetched = Counter("tidemark_worker_fetched", "Records read from Kafka", registry=self.registry)
        self.stored = Counter(
            "tidemark_worker_stored", "Events acknowledged by MongoDB, duplicates too", registry=self.registry
        )
        self.duplicates = Counter(
            "tidemark_worker_duplicates", "Events that were stored already, same content", registry=self.registry
        )
        self.conflicts = Counter(
            "tidemark_worker_conflicts", "Events whose _id another event has", registry=self.registry
        )
        self.dead_letters = Counter(
            "tidemark_worker_dead_letters", "Records put on the dead-letter topic", ["reason"], registry=self.registry
        )
        self.retries = Counter("tidemark_worker_retries", "Writes tried once more", registry=self.registry)
        self.skipped = Counter(
            "tidemark_worker_skipped_by_retention",
            "Records that Kafka deleted before a worker read them",
            registry=self.registry,
        )
        self.rebalances = Counter("tidemark_worker_rebalances", "Assignments received", registry=self.registry)
        self.assigned = Gauge(
            "tidemark_worker_assigned_partitions", "Partitions this worker reads", registry=self.registry
        )
        self.backlog = Gauge(
            "tidemark_worker_backlog", "Records of the assigned partitions not read yet", registry=self.registry
        )
        self.loop_lag = Histogram(
            "tidemark_worker_event_loop_lag_seconds",
            looplag.METRIC_HELP,
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )

    def serve(self, host: str, port: int) -> None:
        """Answer ``GET /metrics`` on ``host:port`` from a thread, until the process ends.

        Raises:
            MissingPartError: the address is taken or not ours.
        """
        try:
            start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            message = (
                f"metrics cannot be served on {place(host, port)} ({error.strerror}): set PIPELINE_WORKER_METRICS_PORT"
            )
            raise MissingPartError(message) from error

"""What Kafka, mongod and the event loops of API and workers report during a repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.observe import kafkacounters, looplag, mongocounters
from bench.observe.kafkacounters import KafkaReader
from bench.observe.mongocounters import MongoReader
from bench.observe.sampling import UsageSampler
from bench.observe.scraper import CounterPoller, CounterSeries
from pipeline.settings import Mongo


@dataclass(frozen=True)
class Counters:
    """What was reported, each as a series; empty where nothing was. ``loop_lag`` by role."""

    kafka: CounterSeries = field(default_factory=CounterSeries)
    mongodb: CounterSeries = field(default_factory=CounterSeries)
    loop_lag: Mapping[str, CounterSeries] = field(default_factory=dict)

    def columns(self, edges_ns: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return the columns of the time series, a value between each two neighbouring ``edges_ns`` (monotonic ns)."""
        return {
            **kafkacounters.columns(self.kafka, edges_ns),
            **mongocounters.columns(self.mongodb, edges_ns),
            **looplag.columns(self.loop_lag, edges_ns),
        }


class CounterWatch:
    """Asks all servers once a second, from :meth:`start` to :meth:`stop`."""

    def __init__(self, kafka_urls: Sequence[str], mongo: Mongo, mongo_uris: Sequence[str] = ()) -> None:
        """``kafka_urls``: of the brokers' counters; empty: there are none. ``mongo_uris``: of each mongod."""
        readers: dict[str, KafkaReader | MongoReader] = {"MongoDB": MongoReader(mongo, mongo_uris)}
        if kafka_urls:
            readers["Kafka"] = KafkaReader(*kafka_urls)
        self._readers = readers
        self._pollers = {name: CounterPoller(name, reader.read) for name, reader in readers.items()}

    def start(self) -> None:
        """Ask now, and then once a second."""
        for poller in self._pollers.values():
            poller.start()

    def stop(self) -> None:
        """Ask once more and end, in bounded time. May be called twice."""
        for poller in self._pollers.values():
            poller.stop()
        for reader in self._readers.values():
            reader.close()

    def counters(self, folder: Path) -> Counters:
        """Return what was reported, the event loops' logs in ``folder`` with it."""
        series = {name: poller.series() for name, poller in self._pollers.items()}
        return Counters(series.get("Kafka", CounterSeries()), series["MongoDB"], looplag.load(folder))


@dataclass(frozen=True)
class Observers:
    """All that observes a repeat from outside of it."""

    sampler: UsageSampler
    counters: CounterWatch

    def start(self) -> None:
        """Begin: now, and then once a second."""
        self.sampler.start()
        self.counters.start()

    def stop(self) -> None:
        """Look once more and end, in bounded time. May be called twice."""
        self.counters.stop()
        self.sampler.stop()

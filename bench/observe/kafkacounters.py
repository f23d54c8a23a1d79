"""Kafka's own counters, read over HTTP from the agent in the broker that we start (pipeline/local/agent.py)."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.observe.scraper import TIMEOUT_S, CounterSeries, Figures, added, read_all
from bundle.result import KafkaUse

_HEADERS = {"Content-Type": "application/json", "Origin": "http://127.0.0.1"}  # as pipeline/local/jolokia-access.xml
_MOST_BYTES = 64 * 1024  # of an answer
# (figure, MBean, attribute). The handlers' idle share is a meter: its count is the ns that a handler was idle.
_COUNTERS = {
    "bytes_in": ("kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec", "Count"),
    "bytes_out": ("kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec", "Count"),
    "messages_in": ("kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec", "Count"),
    "handlers_idle_ns": ("kafka.server:type=KafkaRequestHandlerPool,name=BrokerRequestHandlerAvgIdlePercent", "Count"),
}
_LEVELS = {"request_queue": ("kafka.network:type=RequestChannel,name=RequestQueueSize", "Value")}
# Kafka 3.9 has the idle share of all handlers under another name; where a broker has both, the first one counts.
_OF_KAFKA_3 = (
    "handlers_idle_ns",
    "kafka.server:type=KafkaRequestHandlerPool,name=RequestHandlerAvgIdlePercent",
    "Count",
)
_ASKED = (*((name, *where) for name, where in (*_COUNTERS.items(), *_LEVELS.items())), _OF_KAFKA_3)
_REQUEST = msgspec.json.encode(
    [{"type": "read", "mbean": mbean, "attribute": attribute} for _, mbean, attribute in _ASKED]
)


class KafkaReader:
    """Asks the agents of all brokers."""

    def __init__(self, *urls: str) -> None:
        """``urls``: of the agents; nothing is connected yet."""
        self._agents = [_Agent(url) for url in urls]

    def read(self) -> Figures | None:
        """Return the figures of now, of all brokers together; None where one does not answer."""
        found = read_all(each.read for each in self._agents)
        return together(found) if found else None

    def close(self) -> None:
        """Leave."""
        for agent in self._agents:
            agent.close()


def together(found: Sequence[Figures]) -> Figures:
    """Make one of the figures of several brokers: of a handler's idle time the mean, of a queue the longest."""
    return added(found, _LEVELS, mean="handlers_idle_ns")


class _Agent:
    """The agent at one address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)

    def read(self) -> Figures | None:
        """Return the figures of now; None where there is no answer."""
        try:
            self._connection.request("POST", self._path, _REQUEST, _HEADERS)
            with self._connection.getresponse() as response:
                return figures_of(msgspec.json.decode(response.read(_MOST_BYTES)))
        except (OSError, http.client.HTTPException, msgspec.DecodeError):
            self._connection.close()  # the next reading connects anew
            return None

    def close(self) -> None:
        """Leave."""
        self._connection.close()


def figures_of(answers: object) -> Figures | None:
    """Return the figures that the agent's answer to :data:`_REQUEST` holds, in its order; None if it is none."""
    if not isinstance(answers, list) or len(answers) != len(_ASKED):
        return None
    found: dict[str, float] = {}
    for (name, _, _), answer in zip(_ASKED, answers, strict=True):
        value = _value(answer)
        if value is not None:
            found.setdefault(name, value)
    return found or None


def _value(answer: Any) -> float | None:
    value = answer.get("value") if isinstance(answer, dict) and answer.get("status") == http.client.OK else None
    return float(value) if isinstance(value, int | float) else None


def use(series: CounterSeries, start_ns: int, end_ns: int) -> KafkaUse | None:
    """Sum up a window (monotonic ns); None where nothing was reported."""
    if not len(series.at_ns):
        return None
    queue = series.within("request_queue", start_ns, end_ns)
    idle_ns_per_s = series.per_s("handlers_idle_ns", start_ns, end_ns)
    return KafkaUse(
        bytes_in_per_s=series.per_s("bytes_in", start_ns, end_ns),
        bytes_out_per_s=series.per_s("bytes_out", start_ns, end_ns),
        messages_in_per_s=series.per_s("messages_in", start_ns, end_ns),
        request_queue_max=float(queue.max()) if len(queue) else None,
        handlers_busy_share=None if idle_ns_per_s is None else _busy(idle_ns_per_s / 1e9),
    )


def columns(series: CounterSeries, edges_ns: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return a column of the time series for each figure, one value a second; NaN where it was not."""
    found = {f"kafka_{name}": series.growth(name, edges_ns) for name in _COUNTERS if name in series.figures}
    idle_ns = found.pop("kafka_handlers_idle_ns", None)
    if idle_ns is not None:
        share = np.clip(1 - idle_ns / np.diff(edges_ns), 0, 1)
        found["kafka_handlers_busy_share"] = np.where(series.encloses(edges_ns), share, np.nan)
    if "request_queue" in series.figures:
        found["kafka_request_queue"] = series.largest("request_queue", edges_ns)
    return found


def _busy(idle_share: float) -> float:
    """The idle time of a poll is counted when it ends, so that a second may seem to have had more than it has."""
    return min(1.0, max(0.0, 1.0 - idle_share))

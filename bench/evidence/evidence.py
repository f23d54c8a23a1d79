"""What one repeat left behind, read once it is over: ledgers, deliveries, documents, leftovers, samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.evidence import documents, durations, histogram, sightings
from bench.evidence.deliveries import Deliveries
from bench.evidence.documents import Documents
from bench.evidence.expected import Expected
from bench.evidence.leftovers import Leftovers
from bench.evidence.mongodocuments import MongoDocuments
from bench.evidence.offered import Offered
from bench.observe import looplag, usage
from bench.observe.sampling import ClockSamples, Sample
from bench.observe.servercounters import Counters
from bundle import writing
from bundle.reported import REPORTS, Report
from bundle.result import Window
from pipeline.settings import Mongo
from traffic.ledger import Outcome
from traffic.spec import LoadSpec

_NS = 1_000_000_000


@dataclass(frozen=True)
class Backlog:
    """Backlog as sampled: when (monotonic ns) and how many records, each of shape (samples,)."""

    at_ns: NDArray[np.int64]
    records: NDArray[np.int64]


@dataclass(frozen=True)
class Happened:
    """What was seen while it ran: crashes, how the generator ended, how long each phase took."""

    crashes: tuple[str, ...]
    generator_exit_code: int | None  # 0 where there is none
    drained: bool
    duration_s: dict[str, float]
    lost: str = ""  # of a probe, why it was stopped before its time
    beside: Any = None  # what was done beside the load, in the words of its kind

    @property
    def worker_crashed(self) -> bool:
        """Whether a worker ended unasked: it may have stored events that are not in its log."""
        return any(each.startswith("crash: worker-") for each in self.crashes)


@dataclass(frozen=True)
class Witnessed:
    """What the witness did: ``offered`` has the load and its own events, ``sightings`` is its log, read."""

    offered: Offered
    sightings: NDArray[np.void]
    exit_code: int | None = 0


@dataclass(frozen=True)
class Evidence:
    """Everything that a repeat is judged by.

    ``offered``: the load, which all figures are of. The audit is of ``audited``, which the witness's events belong to.
    """

    offered: Offered
    scheduled: int
    deliveries: Deliveries
    documents: Documents
    leftovers: Leftovers
    clock: ClockSamples
    samples: tuple[Sample, ...]
    backlog: Backlog
    counters: Counters = field(default_factory=Counters)
    witness: Witnessed | None = None
    reports: frozenset[Report] = frozenset(REPORTS)  # what the system reports; of all else there is nothing here

    @property
    def audited(self) -> Offered:
        """Every event of the repeat, the witness's too."""
        return self.witness.offered if self.witness else self.offered

    @cached_property
    def first_deliveries(self) -> NDArray[np.void]:
        """The earliest acknowledged delivery of each event of the load; ``index`` is that in ``offered``."""
        first = self.audited_first_deliveries
        return first[first["index"] < self.offered.events]  # the witness's events come last

    @cached_property
    def audited_first_deliveries(self) -> NDArray[np.void]:
        """The same of the witness's events too; ``index`` is that in ``audited``."""
        return durations.first_deliveries(self.audited, self.deliveries)

    def emptying(self, warmup_batches: int, share: float) -> Window:
        """Return the stretch in which all consumers were busy with a backlog, by the acknowledgements.

        It begins with the first one after every consumer with work has settled so many batches, and ends when the first
        of them runs dry or that ``share`` of all events is stored.
        """
        rows = self.deliveries.rows
        if not len(rows):
            return Window(0.0, 0.0)
        moments = rows["acknowledged_ns"] - self.offered.epoch_monotonic_ns
        warm, dry = [], []
        for consumer in np.unique(rows["consumer"]):
            own = np.unique(moments[rows["consumer"] == consumer])
            warm.append(own[min(warmup_batches, len(own)) - 1])
            dry.append(own[-1])
        ordered = np.sort(moments)
        stored = ordered[min(int(len(ordered) * share), len(ordered) - 1)]
        after_warmup = ordered[ordered >= max(warm)]
        return Window(float(after_warmup[0]) / _NS, float(min(*dry, stored)) / _NS)


def read_documents(mongo: Mongo, of_offered: Offered, spec: LoadSpec, compare_share: float) -> Documents:
    """Scan the collection, and compare with what the generator says it sent (it is made anew from the seed)."""
    expected = Expected(of_offered, spec, MongoDocuments.templates)
    return documents.scan(MongoDocuments(mongo), of_offered, expected, compare_share)


def write_tables(folder: Path, evidence: Evidence, start_ns: int, end_ns: int, *, with_histograms: bool) -> None:
    """Write the bundle's files of a repeat and remove the logs that they are made of."""
    rows = evidence.audited.rows
    writing.write_table(folder / "ledger.parquet", {name: rows[name] for name in rows.dtype.names or ()})
    delivered = evidence.deliveries.rows
    epoch_ns = evidence.offered.epoch_monotonic_ns
    writing.write_table(
        folder / "deliveries.parquet",
        {
            "id_low": delivered["id_low"],
            "record_timestamp_ms": delivered["record_timestamp_ms"],
            "fetched_ns": delivered["fetched_ns"] - epoch_ns,
            "acknowledged_ns": delivered["acknowledged_ns"] - epoch_ns,
            "consumer": delivered["consumer"],
        },
    )
    writing.write_table(folder / "timeseries.parquet", timeseries(evidence))
    if with_histograms:
        _write_histograms(folder / "latency.hlog", evidence, start_ns, end_ns)
    if evidence.witness:
        seen = np.sort(evidence.witness.sightings, order="sequence")
        columns = {"sequence": seen["sequence"], "missed": seen["missed_ns"], "seen": seen["seen_ns"]}
        writing.write_table(folder / "witness.parquet", columns)
    lags = [path for role in looplag.ROLES for path in looplag.logs_of(folder, role)]
    raw_logs = (*folder.glob("ledger-*.log"), *folder.glob("worker-*.log"), *folder.glob(sightings.FILE), *lags)
    for raw in raw_logs:
        raw.unlink()


def timeseries(evidence: Evidence) -> dict[str, NDArray[np.generic]]:
    """Return one row a second, from the first sample to the last: events, backlog, clock, use, counters."""
    epoch_ns = evidence.offered.epoch_monotonic_ns
    at_s = (evidence.clock.at_ns - epoch_ns) / 1e9
    first, last = int(np.floor(at_s[0])), int(np.floor(at_s[-1]))
    seconds = np.arange(first, last + 1)
    rows = evidence.offered.rows
    accepted = rows["outcome"] == Outcome.ACCEPTED
    stored = evidence.first_deliveries["acknowledged_ns"] - epoch_ns

    def per_second(moments_ns: NDArray[np.int64], weights: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        place = np.clip(moments_ns // 1_000_000_000 - first, 0, len(seconds) - 1)
        return np.bincount(place, weights, minlength=len(seconds)).astype(np.int64)

    edges_ns = epoch_ns + np.arange(first, last + 2) * 1_000_000_000
    memory = {
        f"memory_bytes_{role}": _at_ends(
            seconds, at_s, np.array([each.usage[role].memory_bytes for each in evidence.samples])
        )
        for role in evidence.samples[0].usage
    }
    return {
        "second": seconds,
        "offered": per_second(rows["intended"], rows["count"]),
        "accepted": per_second(rows["answered"][accepted], rows["count"][accepted]),
        **({"stored": per_second(stored)} if "stamps" in evidence.reports else {}),
        **(
            {"backlog": _at_ends(seconds, (evidence.backlog.at_ns - epoch_ns) / 1e9, evidence.backlog.records)}
            if "backlog" in evidence.reports
            else {}
        ),
        "clock_offset_ns": _at_ends(seconds, at_s, evidence.clock.offset_ns),
        **memory,
        **usage.columns(evidence.samples, edges_ns),
        **evidence.counters.columns(edges_ns),
    }


def _at_ends(seconds: NDArray[np.int64], at_s: NDArray[np.float64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last value seen by the end of each second; before the first one, the first."""
    if not len(values):
        return np.zeros(len(seconds), dtype=np.int64)
    place = np.searchsorted(at_s, seconds + 1, side="right") - 1
    return values[np.maximum(place, 0)]


def _write_histograms(path: Path, evidence: Evidence, start_ns: int, end_ns: int) -> None:
    requests = durations.of_requests(evidence.offered, start_ns, end_ns)
    events = durations.of_events(evidence.offered, evidence.first_deliveries, evidence.clock, start_ns, end_ns)
    measures = {
        "response_time": histogram.TimedDurations(requests.accepted_intended, requests.response_time),
        "service_time": histogram.TimedDurations(requests.accepted_intended, requests.service_time),
    }
    if "stamps" in evidence.reports:
        measures["delivery_latency"] = histogram.TimedDurations(events.intended, events.delivery_latency)
        measures |= {name: histogram.TimedDurations(events.intended, values) for name, values in events.stages.items()}
    histogram.write_log(path, evidence.offered.epoch_unix_ns, measures)

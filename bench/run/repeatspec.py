"""One repeat, before it is run: the cell and its load, where it runs, and the rules by which it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import structs

from bench import kinds
from bench.cells.bounds import Bounds
from bench.cells.objective import Objective
from bench.judge import derive
from bench.search import probe
from bench.targets.checkout import Checkout
from bench.targets.target import System
from bench.targets.tidemark import TIDEMARK
from pipeline.settings import Settings
from traffic.spec import Arrivals, LoadSpec, Traffic


@dataclass(frozen=True)
class RepeatSpec:
    """What is to be run, and by which rules it is judged."""

    identity: derive.RepeatIdentity
    name: str  # of topics, group and collection: no other repeat's
    settings: Settings  # where the servers are
    server_pids: Mapping[str, list[int]]  # of Kafka and MongoDB where they run on this machine
    traffic: Traffic
    seed: int
    bounds: Bounds
    objective: Objective
    arrivals: Arrivals = "poisson"
    kafka_counters_urls: tuple[str, ...] = ()  # where the brokers report their own counters; empty: nowhere
    mongo_member_uris: tuple[str, ...] = ()  # of each mongod that is ours; empty: the settings' server is asked
    code: Checkout | None = None  # the checkout that API and workers run from, None for this one
    system: System = TIDEMARK  # what is measured

    @property
    def load_spec(self) -> LoadSpec:
        """What is offered: the matrix's traffic, but for what is an axis of the cell or particular to its kind."""
        cell, kind = self.identity.cell, kinds.named(self.identity.cell.kind)
        changes: dict[str, object] = {}
        if cell.payload_bytes is not None:
            changes["payload_bytes"] = cell.payload_bytes
        if cell.key_skew is not None:
            changes["key_skew"] = cell.key_skew
        if kind.through_http:
            changes["visitor_share"] = cell.visitor_share
        if cell.event_mix is not None:
            changes["event_mix"] = cell.event_mix
        elif kind.event_mix is not None:
            changes["event_mix"] = kind.event_mix
        return LoadSpec(
            scenario="mixed",
            offered_load_events_per_s=self.identity.offered_load_events_per_s or 1.0,
            arrivals=self.arrivals,
            profile="constant",
            duration_s=kind.load_s(cell),
            seed=self.seed,
            run=self.identity.run_number,
            traffic=structs.replace(self.traffic, **changes),
        )

    @property
    def longest_s(self) -> float:
        """How long it may take at most, in seconds, except for steps that take at most minutes."""
        cell = self.identity.cell
        kind = kinds.named(cell.kind)
        load_s = cell.warmup_s + kind.load_s(cell) if kind.through_http else 0.0
        return load_s + self.bounds.drain_timeout_s

    def probe_watch(self) -> probe.ProbeWatch | None:
        """Return what says when a load that is watched has lasted long enough; any other lasts as long as it says."""
        cell = self.identity.cell
        if not kinds.named(cell.kind).watched:
            return None
        offered_load = self.identity.offered_load_events_per_s or 0.0
        return probe.ProbeWatch(cell, offered_load, self.objective.delivery_latency_p99_ms)

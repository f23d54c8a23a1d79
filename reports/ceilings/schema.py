"""What ``ceilings.json`` holds, as typed Structs: schema version 2 of docs/bundle.md."""

from __future__ import annotations

from msgspec import Struct

from reports.schema import Disturbance, Percentiles
from reports.statistics import Interval

__all__ = ["BareLoop", "Ceilings", "Conditions", "Interval", "LoopRepeat"]


class LoopRepeat(Struct, frozen=True, kw_only=True):
    """One repeat of one bare loop; ``place`` counts from 1 in the order of its round.

    ``cpu_s_per_100k_events``: of ``client`` (the process of the loop) and, where they take part and are the run's, of
    ``handler``, ``kafka`` and ``mongodb``. ``service_time_ms``: of the loop's requests, None where it has none.
    """

    round: int
    place: int = 0
    events: int
    took_s: float
    events_per_s: float
    cpu_s_per_100k_events: dict[str, float] = {}
    service_time_ms: Percentiles | None = None
    disturbance: Disturbance | None = None


class BareLoop(Struct, frozen=True, kw_only=True):
    """One bare loop over all its repeats."""

    name: str
    words: str
    events_per_s: Interval
    cpu_s_per_100k_events: dict[str, Interval] = {}
    repeats: tuple[LoopRepeat, ...] = ()


class Conditions(Struct, frozen=True, kw_only=True):
    """Under what the loops ran, as far as cells of a matrix may differ in it; ``partitions``: per topic."""

    payload_bytes: int
    visitor_share: float
    partitions: int
    write_concern: str
    journal: bool
    driver: str
    acks: str
    compression: str


class Ceilings(Struct, frozen=True, kw_only=True):
    """ceilings.json: what the bare loops came to on the machine and the servers of the run.

    ``servers``: "local", or where they are. ``disturbance``: what others used of the machine, over all repeats.
    """

    schema_version: int
    fingerprint: str = ""
    measured_at: str = ""
    took_s: float = 0.0
    rounds: int = 0
    seed: int = 0
    servers: str = ""
    conditions: Conditions
    disturbance: Disturbance | None = None
    loops: tuple[BareLoop, ...] = ()

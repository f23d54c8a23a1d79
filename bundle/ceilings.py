"""What the bare loops reach on a machine: the content of ``ceilings.json`` (docs/bundle.md describes each field)."""

from __future__ import annotations

from msgspec import Struct

from bundle.interval import Interval
from bundle.result import Disturbance, Percentiles
from bundle.version import SCHEMA_VERSION


class LoopRepeat(Struct, frozen=True, kw_only=True):
    """One repeat of one bare loop; ``place`` counts from 1 in the order of its round.

    ``valid``: others used no more of the machine than they may; a void one is kept, and counts nowhere.
    ``cpu_s_per_100k_events``: of ``client`` (the process of the loop) and, where they take part and are ours, of
    ``handler``, ``kafka`` and ``mongodb``; of a part also of ``worker``, ``api`` or ``generator``. ``service_time_ms``:
    of the loop's requests, ``schedule_delay_ms``: of the generator's, ``memory_mb``: of a worker's process at the end.
    None where it has none.
    """

    round: int
    place: int
    events: int
    took_s: float
    events_per_s: float
    cpu_s_per_100k_events: dict[str, float]
    service_time_ms: Percentiles | None = None
    schedule_delay_ms: Percentiles | None = None
    memory_mb: float | None = None
    disturbance: Disturbance | None = None
    valid: bool = True


class BareLoop(Struct, frozen=True, kw_only=True):
    """One bare loop over all its repeats; the intervals are over the valid ones."""

    name: str
    words: str
    events_per_s: Interval
    cpu_s_per_100k_events: dict[str, Interval]
    repeats: tuple[LoopRepeat, ...]


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


class Pair(Struct, frozen=True):
    """A part's figure and what it is held against, of one round, in the same unit; ``ratio`` of the two."""

    round: int
    value: float
    against: float
    ratio: float


class Held(Struct, frozen=True, kw_only=True):
    """A part held against a bare loop, or where ``against`` is empty against a limit: all pairs, and what they show.

    ``quantity`` is to be ``side`` ("at least", "at most") ``share`` of the loop's plus ``spare``. ``ratio``: geometric
    mean, with its one-sided 95% bounds ``low`` and ``high``. ``verdict``: "met", "not met" or "cannot tell".
    """

    name: str
    part: str
    against: str
    quantity: str
    side: str
    share: float
    spare: float
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    pairs: tuple[Pair, ...]


class Ceilings(Struct, frozen=True, kw_only=True):
    """What the bare loops reached on this machine and these servers, interleaved over ``rounds``.

    ``fingerprint``: of all that it depends on; a run on the same takes it over while it is fresh. ``servers``:
    "local", or where they are. ``disturbance``: what others used of the machine, over all valid repeats. ``parts``,
    ``held``: our own parts, where they were measured beside the loops, and how close they come.
    """

    schema_version: int = SCHEMA_VERSION
    fingerprint: str
    measured_at: str
    took_s: float
    rounds: int
    seed: int
    servers: str
    conditions: Conditions
    disturbance: Disturbance | None
    loops: tuple[BareLoop, ...]
    parts: tuple[BareLoop, ...] = ()
    held: tuple[Held, ...] = ()

    @property
    def inserts_per_s(self) -> float:
        """The highest rate of the bare inserts, in events/s; 0 if they were not measured."""
        return max((each.events_per_s.mean for each in self.loops if each.name.startswith("insert-")), default=0.0)

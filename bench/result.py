"""What one repeat came to: the content of its ``result.json`` (docs/bundle.md tells each field)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

SCHEMA_VERSION = 2
Verdict = Literal["sustained", "not sustained", "straddles"]
MAX_ATTEMPTS = 3  # a void repeat is replaced at most twice


class Audit(Struct, frozen=True):
    """Counts of events, each told in docs/methodology.md. The two identities hold over them."""

    offered: int = 0
    accepted: int = 0
    rejected: int = 0
    in_doubt: int = 0
    unsent: int = 0
    stored: int = 0
    stored_accepted: int = 0
    stored_in_doubt: int = 0
    stored_rejected: int = 0
    dead_lettered: int = 0
    undrained: int = 0
    lost: int = 0
    stored_twice: int = 0
    delivered_twice: int = 0
    foreign: int = 0
    compared: int = 0
    differing: int = 0

    @property
    def offered_adds_up(self) -> bool:
        """Identity 1."""
        return self.offered == self.accepted + self.rejected + self.in_doubt + self.unsent

    @property
    def accepted_adds_up(self) -> bool:
        """Identity 2."""
        return self.accepted == self.stored_accepted + self.dead_lettered + self.undrained + self.lost


class Window(Struct, frozen=True):
    """What is measured, after the warm-up: seconds from the repeat's epoch, the end left out."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


class Percentiles(Struct, frozen=True):
    """Milliseconds; None where fewer than 10 independent requests lie beyond."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    requests_beyond: dict[str, int] = msgspec.field(default_factory=dict)


class StageStatistics(Struct, frozen=True):
    """One stage of delivery latency over the events of the window, in milliseconds."""

    mean: float
    min: float
    p50: float
    p90: float
    p99: float
    max: float
    p95: float | None = None  # older runs have none


class Stages(Struct, frozen=True):
    """The four stages; their means add up to the mean delivery latency."""

    schedule_delay: StageStatistics
    http_and_api: StageStatistics
    kafka_and_backlog: StageStatistics
    write: StageStatistics


class Program(Struct, frozen=True):
    """A program that is not a role: its name, and its share of the CPU of all cores of the machine."""

    name: str
    share: float


class Disturbance(Struct, frozen=True):
    """What the machine had to do beside the repeat, as shares of all its cores over the window.

    ``other_programs``: CPU used by processes that are no role; ``stolen``: taken by the host that runs this guest.
    ``programs``: the few that used most of it, the busiest first; all processes of one name together.
    """

    other_programs: float
    stolen: float
    programs: list[Program] = msgspec.field(default_factory=list)


class Probe(Struct, frozen=True):
    """What one probe of a capacity cell says of its offered load (docs/methodology.md tells how it is judged).

    ``step``: climb, bisection, confirmation or interval. ``verdict``: sustained, not sustained or undetermined;
    ``why`` says what decided it. ``holds``: the same by the point estimate alone, which is what the search's interval
    rests on.
    The deficit is accepted minus stored, in events/s over the window; its bound is the upper one-sided 95% one.
    """

    step: str
    verdict: str
    holds: bool
    deficit_events_per_s: float
    deficit_bound_events_per_s: float
    allowed_events_per_s: float
    why: list[str]
    stopped_early: bool = False
    extended_s: float = 0.0


class Sustained(Struct, frozen=True):
    """How much faster events were accepted than stored, in events/s over the window (rule 9).

    ``low`` and ``bound``: the lower and the upper one-sided 95% bound of ``deficit``. ``holds``: the deficit itself is
    within what is allowed. ``verdict``: sustained where even ``bound`` is allowed, not sustained where even ``low`` is
    not, else it straddles: only a longer window would decide.
    """

    deficit_events_per_s: float
    low_events_per_s: float
    bound_events_per_s: float
    allowed_events_per_s: float
    verdict: Verdict
    holds: bool


class WitnessAgreement(Struct, frozen=True):
    """What the independent witness read from MongoDB against what the deliveries logs say of the same events (ms).

    ``resolution_ms``: median distance of the two polls between which an event appeared. ``beyond_max_ms``: the
    largest disagreement beyond an event's own resolution; ``disagreeing`` events lie beyond ``tolerance_ms`` of it.
    """

    events: int
    disagreeing: int
    tolerance_ms: float
    resolution_ms: float | None
    seen_p50_ms: float | None
    logged_p50_ms: float | None
    beyond_max_ms: float


class LoopLag(Struct, frozen=True):
    """How late a role's event loop woke in the window (ms): median of the seconds' worst, and the worst of all."""

    median_ms: float
    max_ms: float


class KafkaUse(Struct, frozen=True):
    """Kafka's own counters over the window; None where it does not tell them."""

    bytes_in_per_s: float | None = None
    bytes_out_per_s: float | None = None
    messages_in_per_s: float | None = None
    request_queue_max: float | None = None
    handlers_busy_share: float | None = None


class MongoUse(Struct, frozen=True):
    """mongod's own counters over the window (``serverStatus``); None where it does not tell them."""

    inserts_per_s: float | None = None
    write_tickets_used_mean: float | None = None
    write_tickets_used_max: float | None = None
    write_tickets: float | None = None
    queued_writers_max: float | None = None
    cache_used_share_max: float | None = None
    cache_dirty_share_max: float | None = None
    journal_bytes_per_s: float | None = None
    journal_sync_share: float | None = None
    network_in_bytes_per_s: float | None = None


class Cohort(Struct, frozen=True):
    """The events around one percentile of delivery latency: their mean, and where it went (ms)."""

    name: str
    delivery_latency_ms: float
    stages_ms: dict[str, float]


class ConsumerResult(Struct, frozen=True):
    """One worker process: what it was assigned and how much it did."""

    name: str
    partitions: dict[str, tuple[int, ...]]
    partition_count: int
    records: int
    idle: bool


class Result(Struct, frozen=True, kw_only=True):
    """One repeat. ``valid`` is about the measurement, ``findings`` about the system."""

    schema_version: int = SCHEMA_VERSION
    cell: str
    kind: str
    axes: dict[str, Any]
    round: int
    attempt: int
    run_number: int
    started_at: str
    valid: bool
    reasons: list[str]
    findings: list[str]
    window: Window | None = None
    throughput_events_per_s: float | None = None
    offered_load_events_per_s: float | None = None
    achieved: float | None = None
    audit: Audit = Audit()
    requests: int = 0
    response_time_ms: Percentiles | None = None
    service_time_ms: Percentiles | None = None
    delivery_latency_ms: Percentiles | None = None
    stages_ms: Stages | None = None
    cohorts: list[Cohort] = msgspec.field(default_factory=list)
    schedule_delay_p99_ms: float | None = None
    cpu_s_per_role: dict[str, float] = msgspec.field(default_factory=dict)
    cpu_cores_per_role: dict[str, float] = msgspec.field(default_factory=dict)
    memory_max_bytes_per_role: dict[str, int] = msgspec.field(default_factory=dict)
    disturbance: Disturbance | None = None
    cpu_user_cores_per_role: dict[str, float] = msgspec.field(default_factory=dict)
    cpu_system_cores_per_role: dict[str, float] = msgspec.field(default_factory=dict)
    busiest_process_cores_per_role: dict[str, float] = msgspec.field(default_factory=dict)
    context_switches_per_s_per_role: dict[str, float] = msgspec.field(default_factory=dict)
    write_bytes_per_s_per_role: dict[str, float] = msgspec.field(default_factory=dict)
    loopback_bytes_per_s: float | None = None
    event_loop_lag_ms: dict[str, LoopLag] = msgspec.field(default_factory=dict)
    kafka_use: KafkaUse | None = None
    mongodb_use: MongoUse | None = None
    probe: Probe | None = None
    keeping_up: Sustained | None = None
    witness: WitnessAgreement | None = None
    consumers: list[ConsumerResult] = msgspec.field(default_factory=list)
    partitions_total: int = 0
    clock_drift_max_ms_per_s: float | None = None
    negative_durations: dict[str, int] = msgspec.field(default_factory=dict)
    bounds_measured: dict[str, float] = msgspec.field(default_factory=dict)
    duration_s: dict[str, float] = msgspec.field(default_factory=dict)


class Capacity(Struct, frozen=True, kw_only=True):
    """What the search of a capacity cell came to: its ``capacity.json``. Its probes are the cell's repeats.

    ``sustainable_events_per_s``: the highest offered load found sustained and confirmed, None where there is none.
    ``low`` and ``high``: the interval for the load at which the objective stops being held, at ``confidence``; None
    where the probes do not bound it on that side. ``median``: the middle of what the probes leave plausible for that
    load, None where one side has no bound, and in runs older than the field. ``ended``: how the search ended, in words.
    """

    schema_version: int = SCHEMA_VERSION
    cell: str
    objective: str
    sustainable_events_per_s: float | None
    low_events_per_s: float | None
    high_events_per_s: float | None
    confidence: float
    confirmed: bool
    ended: str
    knee_events_per_s: float | None = None
    median_events_per_s: float | None = None


class Stair(Struct, frozen=True, kw_only=True):
    """One load of a calibration: how late requests went out, the share of a core, and events that were not sent."""

    offered_load_events_per_s: float
    requests_per_s: float
    schedule_delay_p99_ms: float | None
    cpu_share: float
    cpu_s_per_100k_events: float
    unsent: int
    holds: bool


class Calibration(Struct, frozen=True, kw_only=True):
    """What one process of the generator can do against a server that keeps nothing: the run's ``calibration.json``.

    ``highest_events_per_s``: the highest load at which it kept to the bounds that are given beside it, None where it
    never did; ``beyond``: it kept to them at the highest load that was tried. ``cpu_s_per_100k_events``: at that load.
    ``fingerprint``: of all that it depends on; a run on the same takes it over from the one before.
    """

    schema_version: int = SCHEMA_VERSION
    fingerprint: str
    measured_at: str
    took_s: float
    highest_events_per_s: float | None
    beyond: bool
    cpu_s_per_100k_events: float | None
    schedule_delay_p99_ms: float
    generator_cpu_share: float
    disturbance: Disturbance | None
    stairs: list[Stair]


def is_finished(attempts: Sequence[Result]) -> bool:
    """Whether a repeat needs no further attempt: one is valid, or enough of them were void."""
    return any(each.valid for each in attempts) or len(attempts) >= MAX_ATTEMPTS

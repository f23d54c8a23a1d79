"""What a bundle's JSON files hold, as typed Structs: schema version 2 of docs/bundle.md."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

SCHEMA_VERSION = 2
ALLOWED_SHARE = 0.02
"""Rule 9: the share of the offered load that may be accepted without being stored as fast."""


class Matrix(Struct, frozen=True):
    """The matrix as it was given; ``text`` is the TOML."""

    name: str = ""
    text: str = ""
    rounds: int = 0
    seed: int | None = None
    bounds: dict[str, Any] = {}
    objective: dict[str, Any] | None = None


class CellPlan(Struct, frozen=True):
    """A cell as planned: its kind and the value of each axis."""

    id: str
    kind: str
    axes: dict[str, Any] = {}


class Hardware(Struct, frozen=True):
    """The machine. ``cores`` 0 means not told."""

    cpu: str = ""
    cores: float = 0
    memory_bytes: int = 0


class Variant(Struct, frozen=True):
    """What one run of an interleaved pair measured: its ``side``, base or new, and what sets it apart, as ``given``.

    ``git_revision``: that of API and workers, where they are not the harness' own; ``settings``: what was set.
    """

    side: str
    given: str
    git_revision: str | None = None
    settings: dict[str, str] = {}


class Program(Struct, frozen=True):
    """A program that is not a role, and its share of the CPU of all cores over the window."""

    name: str
    share: float


class Disturbance(Struct, frozen=True):
    """Shares of the CPU of all cores over the window that other programs and the host used.

    ``programs``: the few that used most, the busiest first; empty in older bundles.
    """

    other_programs: float = 0.0
    stolen: float = 0.0
    programs: list[Program] = []

    @property
    def total(self) -> float:
        """Both together."""
        return self.other_programs + self.stolen


class Spell(Struct, frozen=True):
    """A time at which others used the machine, and what the bench did: ``waited``, ``went on`` or ``stopped``."""

    at: str
    then: str
    found: Disturbance


class Baseline(Struct, frozen=True):
    """The run whose loads this run offered, and those loads by cell: events/s; for a drain, the events preloaded."""

    run_id: str
    loads: dict[str, float] = {}


class Manifest(Struct, frozen=True, kw_only=True):
    """manifest.json: what was to be measured, with what, on what.

    ``stopped``: why the run ended early. ``busy``: when others used the machine.
    """

    schema_version: int
    run_id: str
    status: str
    command: str = ""
    started_at: str = ""
    finished_at: str | None = None
    stopped: str | None = None
    busy: tuple[Spell, ...] = ()
    matrix: Matrix = Matrix()
    bounds: dict[str, Any] = {}
    changed_bounds: tuple[str, ...] = ()
    cells: tuple[CellPlan, ...] = ()
    order: tuple[tuple[str, int], ...] = ()
    git_revision: str | None = None
    git_dirty: bool | None = None
    versions: dict[str, str | None] = {}
    hardware: Hardware = Hardware()
    kernel: str = ""
    servers: Any = ""
    interleaved_with: str | None = None
    variant: Variant | None = None
    baseline: Baseline | None = None


class Audit(Struct, frozen=True):
    """Counts of events; docs/methodology.md tells each."""

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

    def __add__(self, other: Audit) -> Audit:
        return Audit(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))

    @property
    def offered_closes(self) -> bool:
        """Identity 1: offered = accepted + rejected + in doubt + unsent."""
        return self.offered == self.accepted + self.rejected + self.in_doubt + self.unsent

    @property
    def accepted_closes(self) -> bool:
        """Identity 2: accepted = stored_accepted + dead-lettered + undrained + lost."""
        return self.accepted == self.stored_accepted + self.dead_lettered + self.undrained + self.lost


class Window(Struct, frozen=True):
    """What is measured: seconds from the repeat's epoch."""

    start_s: float
    end_s: float


class Percentiles(Struct, frozen=True):
    """Milliseconds; None where fewer than 10 independent requests lie beyond. ``requests_beyond`` may be told."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    requests_beyond: dict[str, int] = {}


class StageStatistics(Struct, frozen=True):
    """One stage of delivery latency over the events of the window, in milliseconds."""

    mean: float
    min: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Cohort(Struct, frozen=True):
    """The events around one percentile of delivery latency: their mean, and the mean of each stage (ms)."""

    name: str
    delivery_latency_ms: float
    stages_ms: dict[str, float]


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
    why: tuple[str, ...] = ()
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
    verdict: str
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


class Consumer(Struct, frozen=True):
    """One worker process: the partitions it was assigned, by topic, and the records it read."""

    name: str
    partitions: dict[str, tuple[int, ...]] = {}
    partition_count: int = 0
    records: int = 0
    idle: bool = False


class Result(Struct, frozen=True, kw_only=True):
    """result.json: one attempt at one repeat."""

    schema_version: int
    cell: str
    kind: str
    axes: dict[str, Any] = {}
    round: int
    attempt: int = 1
    run_number: int = 0
    started_at: str = ""
    valid: bool
    reasons: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    window: Window | None = None
    throughput_events_per_s: float | None = None
    offered_load_events_per_s: float | None = None
    achieved: float | None = None
    audit: Audit | None = None
    requests: int | None = 0
    response_time_ms: Percentiles | None = None
    service_time_ms: Percentiles | None = None
    delivery_latency_ms: Percentiles | None = None
    stages_ms: dict[str, StageStatistics] | None = None
    cohorts: tuple[Cohort, ...] = ()
    schedule_delay_p99_ms: float | None = None
    cpu_s_per_role: dict[str, float] = {}
    cpu_cores_per_role: dict[str, float] = {}
    memory_max_bytes_per_role: dict[str, int] = {}
    disturbance: Disturbance | None = None
    cpu_user_cores_per_role: dict[str, float] = {}
    cpu_system_cores_per_role: dict[str, float] = {}
    busiest_process_cores_per_role: dict[str, float] = {}
    context_switches_per_s_per_role: dict[str, float] = {}
    write_bytes_per_s_per_role: dict[str, float] = {}
    loopback_bytes_per_s: float | None = None
    event_loop_lag_ms: dict[str, LoopLag] = {}
    kafka_use: KafkaUse | None = None
    mongodb_use: MongoUse | None = None
    probe: Probe | None = None
    keeping_up: Sustained | None = None
    witness: WitnessAgreement | None = None
    consumers: tuple[Consumer, ...] = ()
    partitions_total: int = 0
    clock_drift_max_ms_per_s: float | None = None
    negative_durations: dict[str, int] = {}
    bounds_measured: dict[str, float] = {}
    duration_s: dict[str, float] = {}

    @property
    def kept_up(self) -> bool | None:
        """Whether events were stored as fast as accepted, by rule 9's deficit and its bound; None: not known.

        In older runs, without ``keeping_up``, a probe has its deficit. Elsewhere the highest delivery latency bounds
        it: at the window's end, no more can be on its way than was offered in that time.
        """
        if self.keeping_up is not None:
            return _SAID.get(self.keeping_up.verdict)
        if self.probe is not None:
            if self.probe.deficit_bound_events_per_s <= self.probe.allowed_events_per_s != 0:
                return True
            grew = self.probe.deficit_events_per_s > self.probe.allowed_events_per_s
            return False if grew and self.probe.verdict == "not sustained" else None
        highest_ms = self.delivery_latency_ms.max if self.delivery_latency_ms else None
        if highest_ms is None or self.window is None:
            return None
        allowed_ms = ALLOWED_SHARE * 1000 * (self.window.end_s - self.window.start_s)
        return True if highest_ms <= allowed_ms else None


_SAID = {"sustained": True, "not sustained": False}


class Capacity(Struct, frozen=True, kw_only=True):
    """What the search of a capacity cell came to: its ``capacity.json``. Its probes are the cell's repeats.

    ``sustainable_events_per_s``: the highest offered load found sustained and confirmed, None where there is none.
    ``low`` and ``high``: the interval for the load at which the objective stops being held, at ``confidence``; None
    where the probes do not bound it on that side. ``median``: the middle of what the probes leave plausible for that
    load, None where one side has no bound, and in runs older than the field. ``ended``: how the search ended, in words.
    """

    schema_version: int
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

    schema_version: int
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

"""What one repeat measured: the content of its ``result.json`` (docs/bundle.md describes each field)."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from bundle.reported import Report
from bundle.version import SCHEMA_VERSION

Verdict = Literal["sustained", "not sustained", "straddles"]
ALLOWED_SHARE = 0.02
"""Rule 9: the share of the offered load that may be accepted without being stored as fast."""


class Audit(Struct, frozen=True):
    """Counts of events; docs/concepts.md defines each. The two identities hold over them."""

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
    def offered_adds_up(self) -> bool:
        """Identity 1: offered = accepted + rejected + in doubt + unsent."""
        return self.offered == self.accepted + self.rejected + self.in_doubt + self.unsent

    @property
    def accepted_adds_up(self) -> bool:
        """Identity 2: accepted = stored_accepted + dead-lettered + undrained + lost."""
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
    requests_beyond: dict[str, int] = {}


STAGES = ("schedule_delay", "http_and_api", "kafka_and_backlog", "write")
"""The stages of delivery latency, first to last; their means add up to the mean delivery latency."""


class StageStatistics(Struct, frozen=True):
    """One stage of delivery latency over the events of the window, in milliseconds."""

    mean: float
    min: float
    p50: float
    p90: float
    p99: float
    max: float
    p95: float | None = None  # older runs have none


class Program(Struct, frozen=True):
    """A program that is not a role: its name, and its share of the CPU of all cores of the machine."""

    name: str
    share: float


class Disturbance(Struct, frozen=True):
    """What the machine had to do beside the repeat, as shares of all its cores over the window.

    ``other_programs``: CPU used by processes that are no role; ``stolen``: taken by the host that runs this guest.
    ``programs``: the few that used most of it, the busiest first; all processes of one name together. Older runs have
    none.
    """

    other_programs: float = 0.0
    stolen: float = 0.0
    programs: tuple[Program, ...] = ()

    @property
    def total(self) -> float:
        """Both together."""
        return self.other_programs + self.stolen


class Probe(Struct, frozen=True):
    """What one probe of a capacity cell says of its offered load (docs/method.md says how it is judged).

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
    """Kafka's own counters over the window; None where it does not report them."""

    bytes_in_per_s: float | None = None
    bytes_out_per_s: float | None = None
    messages_in_per_s: float | None = None
    request_queue_max: float | None = None
    handlers_busy_share: float | None = None


class MongoUse(Struct, frozen=True):
    """mongod's own counters over the window (``serverStatus``); None where it does not report them."""

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


class Consumer(Struct, frozen=True):
    """One worker process: what it was assigned and how much it did."""

    name: str
    partitions: dict[str, tuple[int, ...]] = {}
    partition_count: int = 0
    records: int = 0
    idle: bool = False


class Result(Struct, frozen=True, kw_only=True):
    """One repeat. ``valid`` is about the measurement, ``findings`` about the system."""

    schema_version: int = SCHEMA_VERSION
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
    audit: Audit = Audit()
    requests: int = 0
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
    not_reported: tuple[Report, ...] = ()
    of_kind: dict[str, Any] | UnsetType = UNSET  # what only this kind of cell has; most have nothing

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

"""What a bundle's JSON files hold, as typed Structs: schema version 1 of docs/bundle.md."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

SCHEMA_VERSION = 1


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


class Manifest(Struct, frozen=True, kw_only=True):
    """manifest.json: what was to be measured, with what, on what."""

    schema_version: int
    run_id: str
    status: str
    command: str = ""
    started_at: str = ""
    finished_at: str | None = None
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
    p99: float | None = None
    max: float | None = None


class Cohort(Struct, frozen=True):
    """The events around one percentile of delivery latency: their mean, and the mean of each stage (ms)."""

    name: str
    delivery_latency_ms: float
    stages_ms: dict[str, float]


class Disturbance(Struct, frozen=True):
    """Shares of all the machine's cores over the window that went to programs of no role, and to the host."""

    other_programs: float = 0.0
    stolen: float = 0.0

    @property
    def total(self) -> float:
        """Both together."""
        return self.other_programs + self.stolen


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
    consumers: tuple[Consumer, ...] = ()
    partitions_total: int = 0
    clock_drift_max_ms_per_s: float | None = None
    negative_durations: dict[str, int] = {}
    duration_s: dict[str, float] = {}

"""Reads a run's bundle: the files of docs/bundle.md as typed Structs and data frames.

Nothing is judged here. What is not there, or cannot be read, is told in ``Bundle.notes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pandas as pd
from msgspec import Struct

from reports.errors import BundleError, NoRunError, SchemaVersionError

SCHEMA_VERSION = 1
_MAX_FILE_BYTES = 64 * 2**20
_NAMED_IN_A_NOTE = 8
_UNFINISHED = ".partial"
T = TypeVar("T")


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
    consumers: tuple[Consumer, ...] = ()
    partitions_total: int = 0
    clock_drift_max_ms_per_s: float | None = None
    negative_durations: dict[str, int] = {}
    duration_s: dict[str, float] = {}


@dataclass(frozen=True)
class Repeat:
    """One attempt at one repeat: its folder and its result."""

    path: Path
    result: Result

    @property
    def name(self) -> str:
        """Cell and round, with the attempt where it is not the first: ``drain-p1-c2 round 2, attempt 3``."""
        attempt = f", attempt {self.result.attempt}" if self.result.attempt > 1 else ""
        return f"{self.result.cell} round {self.result.round}{attempt}"


@dataclass(frozen=True)
class Bundle:
    """A run: ``repeats`` in the order of cells, rounds and attempts; ``notes`` tell what is missing or unreadable."""

    path: Path
    manifest: Manifest
    repeats: tuple[Repeat, ...]
    notes: tuple[str, ...]

    def of_cell(self, cell_id: str) -> tuple[Repeat, ...]:
        """Every attempt of one cell."""
        return tuple(repeat for repeat in self.repeats if repeat.result.cell == cell_id)


def find(run: str | None, runs: Path) -> Path:
    """Give the bundle's folder: ``run`` as a path or a run's name under ``runs``, by default the newest there.

    NoRunError if there is none.
    """
    if run is not None:
        for folder in (Path(run), runs / run):
            if (folder / "manifest.json").is_file():
                return folder
        if Path(run).name == "manifest.json" and Path(run).is_file():
            return Path(run).parent
        raise NoRunError(f"{run} is no run: there is no {Path(run) / 'manifest.json'}, nor one under {runs}/")
    manifests = sorted(runs.glob("*/manifest.json"), key=lambda path: (path.stat().st_mtime_ns, path.parent.name))
    if not manifests:
        raise NoRunError(f"there is no run under {runs}/ to report on: measure one with ./tidemark bench, or name one")
    return manifests[-1].parent


def load(path: Path) -> Bundle:
    """Read the bundle at ``path``.

    BundleError without a readable manifest, SchemaVersionError if any file has another version.
    A damaged result, or one that is not there, is a note.
    """
    manifest = _decode(path / "manifest.json", Manifest)
    repeats, notes = [], []
    for folder in sorted(path.glob("cells/*/*"), key=_place):
        if not folder.is_dir():
            continue
        if folder.name.endswith(_UNFINISHED) or not (folder / "result.json").is_file():
            notes.append(f"{folder.parent.name} round {folder.name.removesuffix(_UNFINISHED)}: begun, not finished")
            continue
        try:
            repeats.append(Repeat(folder, _decode(folder / "result.json", Result)))
        except SchemaVersionError:
            raise
        except BundleError as error:
            notes.append(str(error))
    ids = [cell.id for cell in manifest.cells]
    ids += sorted({repeat.result.cell for repeat in repeats} - set(ids))
    repeats.sort(key=lambda r: (ids.index(r.result.cell), r.result.round, r.result.attempt))
    return Bundle(path, _with_all_cells(manifest, repeats), tuple(repeats), (*notes, *_missing(manifest, repeats)))


def timeseries(repeat: Repeat) -> pd.DataFrame | None:
    """Read one row a second, or None where the file is missing or damaged."""
    path = repeat.path / "timeseries.parquet"
    if not path.is_file():
        return None
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError):  # pyarrow's ArrowInvalid is a ValueError
        return None
    return frame if {"second", "backlog"} <= set(frame.columns) else None


class _Version(Struct, frozen=True):
    schema_version: Any = None


def _decode(path: Path, kind: type[T]) -> T:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BundleError(f"{path} is larger than {_MAX_FILE_BYTES} bytes: it is not what the harness writes")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; is this a run's folder?") from error
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise SchemaVersionError(path, version, SCHEMA_VERSION)
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path} is damaged: {error}") from error


def _place(folder: Path) -> tuple[str, float, str]:
    number, _, attempt = folder.name.partition(".")
    if number.isdigit() and (attempt or "1").isdigit():
        return folder.parent.name, int(number) * 100 + int(attempt or 1), ""
    return folder.parent.name, float("inf"), folder.name


def _with_all_cells(manifest: Manifest, repeats: list[Repeat]) -> Manifest:
    """Add the cells that have results and are not in the manifest."""
    known = {cell.id for cell in manifest.cells}
    more = {
        repeat.result.cell: CellPlan(repeat.result.cell, repeat.result.kind, repeat.result.axes)
        for repeat in repeats
        if repeat.result.cell not in known
    }
    return msgspec.structs.replace(manifest, cells=(*manifest.cells, *more.values()))


def _missing(manifest: Manifest, repeats: list[Repeat]) -> list[str]:
    """Name the planned repeats without any result, as one note."""
    there = {(repeat.result.cell, repeat.result.round) for repeat in repeats}
    missing = [f"{cell} round {number}" for cell, number in manifest.order if (cell, number) not in there]
    if not missing:
        return []
    more = len(missing) - _NAMED_IN_A_NOTE
    shown = ", ".join(missing[:_NAMED_IN_A_NOTE]) + (f" and {more} more" if more > 0 else "")
    return [f"{len(missing)} of {len(manifest.order)} planned repeats have no result: {shown}"]

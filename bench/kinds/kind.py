"""What the bench asks of a kind of cell; each answer here is that of most kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar

from msgspec import Meta, structs

from bench.cells.axes import Axis
from bench.cells.cellspec import CellSpec, EventMix
from bench.cells.objective import Objective, OfferedLoad
from bench.kinds.offer import Offer, SoFar, events_per_s
from bundle.capacity import CapacityAnswer
from bundle.result import Probe, Result, Sustained, Window

if TYPE_CHECKING:  # it loads numpy, Arrow and client libraries, and `plan` needs none of them
    from bench.evidence.evidence import Evidence

_LOADED_BASE_S = 5.0  # of a repeat under load: topics, processes and group before it, processes and files after it


class Size(NamedTuple):
    """What stands beside the axes in ``[[cells]]``: ``type`` is what it must be, ``allowed`` says so in words."""

    type: Any
    allowed: str


SIZES_OF_A_LOAD: Mapping[str, Size] = {
    "warmup_s": Size(Annotated[float, Meta(ge=0, le=3_600)], "seconds, 0 to 3600"),
    "duration_s": Size(Annotated[float, Meta(ge=1, le=86_400)], "seconds, 1 to 86400"),
    "objective": Size(Objective, "a table, such as { delivery_latency_p99_ms = 1000 }"),
}


@dataclass(frozen=True)
class Moment:
    """A repeat at the moment its load begins: when that is (monotonic ns), and its processes by role."""

    epoch_ns: int
    pids: Mapping[str, list[int]]


Action = Callable[[Moment], Awaitable[Any]]
"""What is done beside a load; what it returns is in :class:`JudgedEvidence`."""


@dataclass(frozen=True)
class JudgedEvidence:
    """What was found of a repeat, before its kind decides what of it is a finding.

    ``findings``: crashes, and what the audit found. ``refused``, ``missed``, ``unshown``: what speaks against it by its
    ``objective``. ``lost``: why its load was stopped before its time. ``beside``: what the kind's action returned.
    """

    evidence: Evidence
    window: Window
    kept_up: Sustained | None
    step: str
    findings: Sequence[str]
    refused: Sequence[str]
    missed: Sequence[str]
    unshown: Sequence[str]
    objective: Objective
    lost: str = ""
    beside: Any = None


@dataclass(frozen=True)
class KindVerdict:
    """What a kind makes of it. ``of_kind``: result fields of its own, as plain JSON values."""

    findings: Sequence[str]
    probe: Probe | None = None
    of_kind: dict[str, Any] = field(default_factory=dict)


C = TypeVar("C", bound=CellSpec)


class Kind(ABC, Generic[C]):
    """A kind of cell.

    ``rank``: its place where kinds are listed. ``cell``: the class of its cells. ``axes``: which of the shared axes it
    has; ``own_axes``: further ones; ``needed``: those that a matrix has to say, and with what.
    ``sizes``: what stands beside the axes; ``usual``: those sizes whose default is not that of ``cell``.
    ``event_mix``: its own, unless the mix is an axis. ``mix_words``: what ``plan`` says of a mix that is left open.

    ``through_http``: events come through the API; else they are preloaded into Kafka before anybody reads.
    ``sets_loads``: others may offer a share of what it reached in round 1.
    ``searches``: its repeats are the probes of a search, whatever the rounds; its cells are :class:`CapacityCell`.
    ``rests_on_stamps``: its answer is of the moments at which events were stored, which not every system reports.
    ``watched``: a load is stopped when it is lost, and prolonged where its duration does not decide.
    ``one``: what ``plan`` calls a repeat.
    """

    name: str
    rank: int
    cell: type[C]
    axes: Collection[str]
    own_axes: Mapping[str, Axis] = {}
    needed: Mapping[str, str] = {}
    sizes: Mapping[str, Size] = SIZES_OF_A_LOAD
    usual: Mapping[str, Any] = {}
    event_mix: EventMix | None = None
    mix_words = "the traffic's"
    through_http = True
    sets_loads = False
    searches = False
    rests_on_stamps = False
    watched = False
    one = "a repeat"

    # The matrix.

    def has(self, axis: str) -> bool:
        """Whether cells of this kind have an axis."""
        return axis in self.axes or axis in self.own_axes

    def default(self) -> C:
        """Return a cell that has nothing but defaults: what differs from it is in a cell's name."""
        return self.cell(id="", kind=self.name)

    def size_problems(self, sizes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:  # noqa: ARG002 - see a subclass
        """Say which sizes do not go together: the name of one, and what is wrong."""
        yield from ()

    def problems(self, cell: C) -> Iterator[tuple[str, str]]:  # noqa: ARG002 - see a subclass
        """Say why a cell cannot be run: the name of a size or an axis, and what is wrong."""
        yield from ()

    def loads(self, cell: C) -> Mapping[str, float | OfferedLoad | None]:
        """Return the loads of a cell, by the name that each has in a matrix."""
        return {"offered_load": cell.offered_load}

    def shares(self, cell: C) -> tuple[str, ...]:
        """Return the names of those loads that are a share of what a drain reaches in the same run."""
        return tuple(name for name, load in self.loads(cell).items() if isinstance(load, OfferedLoad))

    def objective(self, cell: C, of_matrix: Objective) -> Objective:
        """Return what a cell has to reach."""
        return cell.objective or of_matrix

    # The loads of an earlier run.

    def is_open(self, cell: C) -> bool:
        """Whether the run itself has to find the load."""
        return bool(self.shares(cell))

    def with_load(self, cell: C, load: float) -> C:
        """Return the cell with the load that :meth:`load_of` found."""
        (name,) = self.loads(cell)
        return structs.replace(cell, **{name: load})

    def load_of(self, results: Sequence[Result], answer: CapacityAnswer | None) -> float | None:  # noqa: ARG002 - a search's
        """Return the load that a cell had in another run, by its valid results; None if they do not say it."""
        return next((each.offered_load_events_per_s for each in results if each.offered_load_events_per_s), None)

    # The plan.

    def waits(self, cell: C) -> int:
        """Return what comes before a cell in round 1: 0 nothing, 1 what sets loads, 2 everything else."""
        return int(bool(self.shares(cell)))

    def most_repeats(self, cell: C, rounds: int) -> int:  # noqa: ARG002 - see a subclass
        """Return how many repeats a cell may have in a run of so many rounds."""
        return rounds

    def estimate_s(self, cell: C) -> float:
        """Return what a repeat may take, in seconds, from nothing but its size, on two cores with all parts on them."""
        return _LOADED_BASE_S + cell.warmup_s + cell.duration_s

    def left_s(self, cell: C, probes: int) -> float:  # noqa: ARG002 - see a subclass
        """Return what is left of it where so many probes are behind it."""
        return self.estimate_s(cell)

    def size_words(self, cell: C) -> str:
        """Say how much a repeat offers."""
        return f"{cell.warmup_s:g} + {cell.duration_s:g} s"

    # The load.

    def load_s(self, cell: C) -> float:
        """Return how long a load lasts, in seconds, if nothing stops it."""
        return cell.warmup_s + cell.duration_s

    def preloaded_events(self, cell: C) -> int:  # noqa: ARG002 - see a subclass
        """Return how many events are in Kafka before anybody reads."""
        return 0

    def with_offer(self, cell: C, offer: Offer) -> C:  # noqa: ARG002 - see a subclass
        """Return the cell as it is run with this offer."""
        return cell

    def offer(self, cell: C, so_far: Sequence[SoFar]) -> Offer:
        """Return what the next repeat offers, as far as the runs under way decide it."""
        return Offer(events_per_s(cell.offered_load, so_far))

    def beside(self, cell: C) -> Action | None:  # noqa: ARG002 - see a subclass
        """Return what is done beside the load from its first moment on, such as a fault at a stated second."""
        return None

    # The judgement.

    @abstractmethod
    def window(self, cell: C, evidence: Evidence) -> Window:
        """Return what is measured of a repeat."""

    def verdict(self, cell: C, seen: JudgedEvidence) -> KindVerdict:  # noqa: ARG002 - see a subclass
        """Say what of all that was seen is a finding."""
        return KindVerdict((*seen.findings, *seen.refused, *seen.missed, *seen.unshown))

    def reached(self, result: Result) -> float | None:
        """Return the primary measure of a repeat, in events/s: where it sets loads, others offer a share of it."""
        return result.throughput_events_per_s

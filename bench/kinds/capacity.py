"""A capacity cell: a search for the highest offered load that is sustained; each of its repeats is a probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, structs

from bench.cells.axes import EVERYWHERE, THROUGH_HTTP
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective, OfferedLoad, Rate
from bench.kinds.kind import SIZES_OF_A_LOAD, JudgedEvidence, Kind, KindVerdict, Size
from bundle.capacity import CapacityAnswer
from bundle.result import Probe, Result, Sustained, Window

if TYPE_CHECKING:  # it loads numpy, Arrow and client libraries, and `plan` needs none of them
    from bench.evidence.evidence import Evidence

# What a search asks for where neither matrix nor cell does.
DEFAULT_OBJECTIVE_MS = 1_000.0
LEAST_PROBE_S = 8.0  # four blocks of two seconds: fewer do not show how a rate varies
# A probe that straddles is watched for up to this much longer, as a share of its duration.
MOST_EXTENDED = 1.0
_PROBES_SHARE = 0.8  # of a search's most probes, what it takes
_NS = 1_000_000_000


class CapacityCell(CellSpec, frozen=True):
    """A search. Its ``warmup_s`` and ``duration_s`` are those of each probe.

    ``start_load``: what it offers first; ``max_probes``: how many probes it may take; ``resolution`` and
    ``confirmations``: how closely it looks, and how many further probes have to sustain its answer
    (:class:`bench.search.search.SearchSettings`).
    """

    kind: str = "capacity"
    start_load: float | OfferedLoad | None = None
    max_probes: int = 14
    resolution: float = 0.07
    confirmations: int = 2


class Capacity(Kind[CapacityCell]):
    """Probes of one offered load after the other, until the highest sustained one is confirmed."""

    name = "capacity"
    rank = 3
    cell = CapacityCell
    axes = EVERYWHERE | THROUGH_HTTP
    sizes: Mapping[str, Size] = {
        **SIZES_OF_A_LOAD,
        "start_load": Size(
            Rate | OfferedLoad,
            "events/s above 0, or { share_of_drain = 0.4, at_least = 1000 } with a share above 0 and up to 2",
        ),
        "max_probes": Size(Annotated[int, Meta(ge=4, le=100)], "a whole number, 4 to 100"),
        "resolution": Size(Annotated[float, Meta(ge=0.02, le=0.5)], "a ratio less 1, 0.02 to 0.5"),
        "confirmations": Size(Annotated[int, Meta(ge=1, le=10)], "a whole number, 1 to 10"),
    }
    usual: Mapping[str, Any] = {"duration_s": 14.0, "start_load": OfferedLoad(share_of_drain=0.4)}
    searches = True
    rests_on_stamps = True
    watched = True
    one = "a search"

    def size_problems(self, sizes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Refuse probes that are too short to be judged."""
        if sizes["duration_s"] < LEAST_PROBE_S:
            text = f"duration_s = {sizes['duration_s']:g} is too short for a probe: at least {LEAST_PROBE_S:g}"
            yield "duration_s", text

    def loads(self, cell: CapacityCell) -> Mapping[str, float | OfferedLoad | None]:
        """Return the first load of the search."""
        return {"start_load": cell.start_load}

    def objective(self, cell: CapacityCell, of_matrix: Objective) -> Objective:
        """Return what a probe has to reach; there always is a bound to search for."""
        if cell.objective is not None:
            return cell.objective
        if of_matrix.is_bounded:
            return of_matrix
        return structs.replace(of_matrix, delivery_latency_p99_ms=DEFAULT_OBJECTIVE_MS)

    def load_of(self, results: Sequence[Result], answer: CapacityAnswer | None) -> float | None:
        """Return what the search found in another run or, without an answer, its lowest load."""
        found = answer.sustainable_events_per_s if answer else None
        loads = [each.offered_load_events_per_s for each in results if each.offered_load_events_per_s]
        return found or min(loads, default=None)

    def waits(self, cell: CapacityCell) -> int:  # noqa: ARG002 - of every search
        """Say that it comes last: each search repeats its own answer."""
        return 2

    def most_repeats(self, cell: CapacityCell, rounds: int) -> int:  # noqa: ARG002 - a search has its own
        """Return how many probes it may take."""
        return cell.max_probes

    def estimate_s(self, cell: CapacityCell) -> float:
        """Return what a whole search may take, in seconds."""
        return _PROBES_SHARE * cell.max_probes * super().estimate_s(cell)

    def left_s(self, cell: CapacityCell, probes: int) -> float:
        """Return what is left of it; another probe is always to come."""
        one_s = super().estimate_s(cell)
        return max(one_s, self.estimate_s(cell) - one_s * probes)

    def size_words(self, cell: CapacityCell) -> str:
        """Say how many probes there may be."""
        return f"up to {cell.max_probes} probes of {super().size_words(cell)}"

    def load_s(self, cell: CapacityCell) -> float:
        """Return how long a probe's load may last, in seconds, its warm-up and the longest extension included."""
        return cell.warmup_s + cell.duration_s * (1 + MOST_EXTENDED)

    def window(self, cell: CapacityCell, evidence: Evidence) -> Window:
        """Return the window by the schedule; it ends when the load was stopped."""
        stopped_s = [stopped_ns / _NS for stopped_ns in evidence.offered.stopped_ns if stopped_ns is not None]
        return Window(cell.warmup_s, max(cell.warmup_s, min([self.load_s(cell), *stopped_s])))

    def verdict(self, cell: CapacityCell, seen: JudgedEvidence) -> KindVerdict:
        """Judge the load: one that is too much is an answer, and no fault."""
        against = [*seen.refused, *seen.missed, *seen.findings]
        judged = judge_probe(cell, seen.step, seen.window, seen.kept_up, against, seen.unshown, seen.lost)
        return KindVerdict(seen.findings, judged)


def judge_probe(
    cell: CellSpec,
    step: str,
    window: Window,
    judged: Sustained | None,
    against: Sequence[str],
    unshown: Sequence[str],
    lost: str,
) -> Probe:
    """Judge a probe by how its events kept up (rule 9, :func:`bench.search.probe.keeping_up`).

    ``against``: what else speaks against it (refusals, an objective missed, findings). ``unshown``: what of the
    objective could not be shown. ``lost``: why it was stopped.
    """
    if judged is None:
        why = [*against, f"the load lasted {max(0.0, window.length_s):.1f} s after its warm-up, too short to be judged"]
        return Probe(step, "not sustained" if against else "undetermined", False, 0.0, 0.0, 0.0, tuple(why))
    deficit = f"{judged.deficit_events_per_s:,.0f} events/s more were accepted than stored"
    bounds = f"{judged.low_events_per_s:,.0f} to {judged.bound_events_per_s:,.0f}"
    allowed = f"{judged.allowed_events_per_s:,.0f} are allowed"
    why = [*against, *unshown, *([f"stopped early: {lost}"] if lost else [])]
    if judged.verdict != "sustained":
        why.append(f"{deficit} ({bounds}), {allowed}")
    if judged.verdict == "not sustained" or against or lost:
        verdict = "not sustained"
    else:
        verdict = "undetermined" if judged.verdict == "straddles" or unshown else "sustained"
    return Probe(
        step=step,
        verdict=verdict,
        holds=judged.holds and not against and not lost,
        deficit_events_per_s=judged.deficit_events_per_s,
        deficit_bound_events_per_s=judged.bound_events_per_s,
        allowed_events_per_s=judged.allowed_events_per_s,
        why=tuple(why),
        stopped_early=bool(lost),
        extended_s=max(0.0, window.length_s - cell.duration_s),
    )


KIND = Capacity()

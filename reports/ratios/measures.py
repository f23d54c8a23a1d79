"""What is compared: one measure of each kind of cell with a verdict, and a few beside it without."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bundle.result import Percentiles, Result
from reports import formats, kinds, names
from reports.cells.cells import Cell
from reports.kinds.kind import Kind, OwnMeasure
from reports.ratios import searches
from stats.percentiles import PERCENTILES


@dataclass(frozen=True)
class Measure:
    """One number of a repeat. Ratios are oriented: NEW / BASE where more is better, BASE / NEW where less is."""

    name: str
    title: str
    unit: str
    more_is_better: bool
    form: Callable[[float | None], str]
    of_repeat: Callable[[Result], float | None]
    of_cell: Callable[[Cell], float | None]
    """Over all repeats of a cell: a geometric mean, or a percentile of the joint data."""

    def values(self, cell: Cell) -> dict[int, float]:
        """Return the value of each round that has a valid repeat with one; what is not positive has no logarithm."""
        found = {repeat.result.round: self.of_repeat(repeat.result) for repeat in cell.valid}
        return {number: value for number, value in found.items() if value is not None and value > 0}


def cpu_s_per_100k_events(result: Result) -> float | None:
    """Return the CPU-seconds of all roles together that 100,000 stored events cost."""
    stored = result.throughput_events_per_s
    used = sum(result.cpu_cores_per_role.values())
    return used / stored * 100_000 if stored and used else None


def _of_role(role: str) -> Measure:
    """CPU-seconds that 100,000 stored events cost one role."""

    def of_repeat(result: Result) -> float | None:
        stored, used = result.throughput_events_per_s, result.cpu_cores_per_role.get(role)
        return used / stored * 100_000 if stored and used else None

    return Measure(
        name=f"{role}_cpu_s_per_100k_events",
        title=f"CPU of {names.role(role)} for 100k events",
        unit="CPU-s",
        more_is_better=False,
        form=formats.rounded,
        of_repeat=of_repeat,
        of_cell=lambda cell: cell.cpu_s_per_100k_events().get(role) or None,
    )


def _by_servers(cores: Mapping[str, float], role: str) -> float | None:
    used, servers = cores.get(role), cores.get("kafka", 0.0) + cores.get("mongodb", 0.0)
    return used / servers if used and servers else None


def _beside_servers(role: str) -> Measure:
    """CPU of one role by that of Kafka and MongoDB: the pace of the machine, which all share, is not in it."""

    def of_repeat(result: Result) -> float | None:
        idle = role in kinds.named(result.kind).idle_roles
        return None if idle else _by_servers(result.cpu_cores_per_role, role)

    return Measure(
        name=f"{role}_cpu_by_servers",
        title=f"CPU of {names.role(role)} by that of Kafka and MongoDB",
        unit="CPU-s / CPU-s",
        more_is_better=False,
        form=formats.rounded,
        of_repeat=of_repeat,
        of_cell=lambda cell: _by_servers(cell.cores, role),
    )


def _percentile(measure: str, title: str, name: str) -> Measure:
    def of_repeat(result: Result) -> float | None:
        percentiles: Percentiles | None = getattr(result, f"{measure}_ms")
        return None if percentiles is None else getattr(percentiles, name)

    def of_cell(cell: Cell) -> float | None:
        return cell.percentile(measure, PERCENTILES[name])

    return Measure(
        name=f"{measure}_{name}",
        title=f"{title} {name}",
        unit="ms",
        more_is_better=False,
        form=formats.milliseconds,
        of_repeat=of_repeat,
        of_cell=of_cell,
    )


THROUGHPUT = Measure(
    name="throughput",
    title="throughput",
    unit="events/s",
    more_is_better=True,
    form=formats.rounded,
    of_repeat=lambda result: result.throughput_events_per_s,
    of_cell=lambda cell: cell.throughput.mean if cell.throughput else None,
)
SUSTAINABLE = Measure(
    name="sustainable_throughput",
    title="limit of the load that is sustained",
    unit="events/s",
    more_is_better=True,
    form=formats.rounded,
    of_repeat=lambda _: None,  # a search has one answer, and its probes are of other loads
    of_cell=lambda cell: searches.middle(cell.capacity) if cell.capacity else None,
)
DELIVERY_P50 = _percentile("delivery_latency", "delivery latency", "p50")
DELIVERY_P95 = _percentile("delivery_latency", "delivery latency", "p95")
DELIVERY_P99 = _percentile("delivery_latency", "delivery latency", "p99")
RESPONSE_P95 = _percentile("response_time", "response time", "p95")
RESPONSE_P99 = _percentile("response_time", "response time", "p99")
CPU = Measure(
    name="cpu_s_per_100k_events",
    title="CPU for 100k events",
    unit="CPU-s",
    more_is_better=False,
    form=formats.rounded,
    of_repeat=cpu_s_per_100k_events,
    of_cell=lambda cell: sum(cell.cpu_s_per_100k_events().values()) or None,
)
BESIDE = (
    *(CPU, DELIVERY_P50, DELIVERY_P95, DELIVERY_P99, RESPONSE_P95, RESPONSE_P99),
    *(_beside_servers("api"), _beside_servers("worker")),
)
"""What stands beside the primary measure, without a verdict."""
_NAMED = {each.name: each for each in (THROUGHPUT, SUSTAINABLE, *BESIDE, _of_role("api"), _of_role("worker"))}


def primary(base: Cell, new: Cell) -> Measure:
    """Return the one measure that is judged: of those of the kind the first that every valid repeat of both runs has.

    For delivery latency that is p99 where there are enough requests beyond it everywhere, else p50: a p99 from some of
    the rounds would be one of picked rounds.
    """
    *first, last = (_named(base.kind, name) for name in base.kind.primary)
    return next((measure for measure in first if _everywhere(measure, (base, new))), last)


def costs(cell: Cell) -> tuple[Measure, ...]:
    """Return what is judged beside the primary measure where the cost of an event is too."""
    return tuple(_named(cell.kind, name) for name in cell.kind.costs)


def beside(cells: Iterable[Cell]) -> tuple[Measure, ...]:
    """Return what stands beside the primary measure of these cells: also what only their kinds have."""
    own = {each.name: _own(each) for cell in cells for each in cell.kind.own_measures}
    return (*BESIDE, *own.values())


def _named(kind: Kind, name: str) -> Measure:
    return {**_NAMED, **{each.name: _own(each) for each in kind.own_measures}}[name]


@functools.cache
def _own(measure: OwnMeasure) -> Measure:
    """Make a measure of a number that only one kind has; over a cell it is a geometric mean."""

    def of_cell(cell: Cell) -> float | None:
        values = [value for repeat in cell.valid if (value := measure.of_repeat(repeat.result)) and value > 0]
        return statistics.geometric_mean(values) if values else None

    return Measure(
        name=measure.name,
        title=measure.title,
        unit=measure.unit,
        more_is_better=measure.more_is_better,
        form=formats.rounded,
        of_repeat=measure.of_repeat,
        of_cell=of_cell,
    )


def _everywhere(measure: Measure, cells: Sequence[Cell]) -> bool:
    return all(len(measure.values(cell)) == len({r.result.round for r in cell.valid}) for cell in cells)

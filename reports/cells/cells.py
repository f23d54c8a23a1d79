"""What the repeats of each cell come to together: only valid repeats count, and percentiles come from pooled data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bundle.capacity import CapacityAnswer
from bundle.errors import BundleError
from bundle.interval import Interval
from bundle.manifest import CellPlan
from bundle.reading import Bundle, Repeat
from bundle.result import Audit, Cohort, Result
from reports import kinds
from reports.cells import bottleneck, hlog, neighbours
from reports.cells.axes import Naming, naming
from reports.cells.bottleneck import Bottleneck
from reports.kinds.kind import Kind
from stats import histograms, intervals
from stats.histograms import Distribution
from stats.percentiles import PERCENTILES, REQUESTS_BEYOND, largest_share

STAGES = ("schedule_delay", "http_and_api", "kafka_and_backlog", "write")
NOT_SUSTAINED = "not sustained"
_SAME_LOAD = 1e-3
_Of = TypeVar("_Of")
MEASURES = ("delivery_latency", "response_time", "service_time")
ROLES = ("generator", "api", "kafka", "worker", "mongodb", "dashboard", "harness", "witness")


@dataclass(frozen=True)
class Cell:
    """One cell over all its repeats. ``attempts`` has the void ones too; ``audit`` is of all ``valid`` ones.

    All other fields are of those ``counted``: the valid ones; for a capacity cell only the probes at the load of its
    answer. ``beyond``: the probes of the lowest load above the answer that was not sustained; empty for other kinds.
    """

    plan: CellPlan
    label: str
    sentence: str
    attempts: tuple[Repeat, ...]
    valid: tuple[Repeat, ...]
    counted: tuple[Repeat, ...]
    beyond: tuple[Repeat, ...]
    throughput: Interval | None
    """Geometric mean (events/s) and interval; None without a valid repeat, or where one stored nothing."""
    offered_load: float | None
    achieved: float | None
    audit: Audit
    requests: int
    largest_shares: dict[str, float]
    """For each measure, up to which share its percentiles are printed."""
    pooled: dict[str, Distribution]
    """By measure, the histograms of all repeats that count added."""
    stages_ms: dict[str, float]
    """Mean of each stage over all events; empty where there is none."""
    cohorts: tuple[Cohort, ...]
    cores: dict[str, float]
    """Mean cores used in the window, by role."""
    memory_max_bytes: dict[str, int]
    bottleneck: Bottleneck | None
    idle_consumers: int
    capacity: CapacityAnswer | None = None
    """The answer of the search; None for other kinds, and where it has not ended."""
    notes: tuple[str, ...] = field(default=())

    @property
    def kind(self) -> Kind:
        """Its kind: how it is shown and compared."""
        return kinds.named(self.plan.kind)

    @property
    def label_with_kind(self) -> str:
        """Kind and label: ``drain 3 × 2``."""
        return f"{self.plan.kind} {self.label}"

    @property
    def void_attempts(self) -> int:
        """Attempts that were measured and did not count."""
        return len(self.attempts) - len(self.valid)

    @property
    def held_nothing(self) -> bool:
        """Whether its search ended without a load that was held, and the lowest load tried was not sustained.

        If lower loads were sustained or left open, valid probes do not show that no load is held.
        """
        if self.capacity is None or self.capacity.sustainable_events_per_s or not self.beyond:
            return False
        lowest = min(repeat.result.offered_load_events_per_s or 0.0 for repeat in self.valid)
        return (self.beyond[0].result.offered_load_events_per_s or 0.0) <= lowest

    def percentile(self, measure: str, share: float) -> float | None:
        """Return a pooled percentile in ms, None where it is not gated in."""
        distribution = self.pooled.get(measure)
        if distribution is None or share > self.largest_shares.get(measure, 0.0):
            return None
        return distribution.quantile(share)

    def cpu_s_per_100k_events(self) -> dict[str, float]:
        """Return what 100,000 stored events cost each role, in CPU-seconds."""
        if self.throughput is None:
            return {}
        return {role: used / self.throughput.mean * 100_000 for role, used in self.cores.items()}


def interval(values: Sequence[float]) -> Interval | None:
    """Return the geometric mean of ``values`` with its interval, None where there is none."""
    found = intervals.log_t(values)
    return Interval(*found) if found else None


def summarise(bundle: Bundle) -> tuple[Cell, ...]:
    """Return every cell of the bundle, in the order of the manifest.

    Raises:
        BundleError: a cell is of a kind that this program does not know.
    """
    kinds.expect_known(bundle.manifest.cells, bundle.path)
    names = {name: naming(plans) for name, plans in by_kind(bundle.manifest.cells, lambda plan: plan.kind).items()}
    cells = [_cell(plan, bundle, names[plan.kind]) for plan in bundle.manifest.cells]
    bottlenecks = neighbours.refine(
        [neighbours.MeasuredCell(cell.plan, cell.throughput, cell.bottleneck) for cell in cells]
    )
    return tuple(replace(cell, bottleneck=bound) for cell, bound in zip(cells, bottlenecks, strict=True))


def by_kind(given: Iterable[_Of], kind_of: Callable[[_Of], str]) -> dict[str, list[_Of]]:
    """Sort cells, or their plans, by the name of their kind: drains first, else as they come."""
    groups: dict[str, list[_Of]] = {}
    for each in given:
        groups.setdefault(kind_of(each), []).append(each)
    return dict(sorted(groups.items(), key=lambda group: not kinds.named(group[0]).comes_first))


def _cell(plan: CellPlan, bundle: Bundle, names: Naming) -> Cell:
    attempts = bundle.of_cell(plan.id)
    valid = tuple(repeat for repeat in attempts if repeat.result.valid)
    capacity = bundle.capacities.get(plan.id)
    counted = _at_answer(valid, capacity) if kinds.named(plan.kind).searched else valid
    results = [repeat.result for repeat in counted]
    beyond = _beyond(valid, capacity)
    requests = sum(result.requests or 0 for result in results)
    pooled, notes = _pool(counted)
    cores = _mean_by_key([result.cpu_cores_per_role for result in results])
    stages = _stages(results)
    return Cell(
        plan=plan,
        label=names.label(plan.axes),
        sentence=names.sentence(plan.axes),
        attempts=attempts,
        valid=valid,
        counted=counted,
        beyond=beyond,
        throughput=interval(
            [result.throughput_events_per_s for result in results if result.throughput_events_per_s is not None]
        ),
        offered_load=_mean([r.offered_load_events_per_s for r in results]),
        achieved=_mean([r.achieved for r in results]),
        audit=sum((repeat.result.audit for repeat in valid), Audit()),
        requests=requests,
        largest_shares={measure: _largest_share(results, measure, requests) for measure in MEASURES},
        pooled=pooled,
        stages_ms=stages,
        cohorts=_cohorts(results),
        cores=cores,
        memory_max_bytes={
            role: max(result.memory_max_bytes_per_role.get(role, 0) for result in results)
            for role in dict.fromkeys(
                [*ROLES, *(role for result in results for role in result.memory_max_bytes_per_role)]
            )
            if any(role in result.memory_max_bytes_per_role for result in results)
        },
        bottleneck=bottleneck.find(
            plan,
            results or [repeat.result for repeat in beyond],
            bundle.manifest.hardware.cores,
            stages,
            capacity=capacity,
            beyond=[repeat.result for repeat in beyond],
        ),
        idle_consumers=max((sum(c.idle for c in r.consumers) for r in results), default=0),
        capacity=capacity,
        notes=notes,
    )


def _at_answer(valid: Sequence[Repeat], capacity: CapacityAnswer | None) -> tuple[Repeat, ...]:
    """Return the probes at the load of the answer; none if there is no answer."""
    if capacity is None or capacity.sustainable_events_per_s is None:
        return ()
    answer = capacity.sustainable_events_per_s
    return tuple(
        repeat
        for repeat in valid
        if repeat.result.probe is not None
        and math.isclose(repeat.result.offered_load_events_per_s or 0.0, answer, rel_tol=_SAME_LOAD)
    )


def _beyond(valid: Sequence[Repeat], capacity: CapacityAnswer | None) -> tuple[Repeat, ...]:
    """Return the probes of the lowest load above the answer that was not sustained."""
    answer = capacity.sustainable_events_per_s or 0.0 if capacity else 0.0
    failed: dict[float, list[Repeat]] = {}
    for repeat in valid:
        load, probe = repeat.result.offered_load_events_per_s or 0.0, repeat.result.probe
        if probe is not None and probe.verdict == NOT_SUSTAINED and load > answer:
            failed.setdefault(load, []).append(repeat)
    return tuple(failed[min(failed)]) if failed else ()


def _pool(valid: Sequence[Repeat]) -> tuple[dict[str, Distribution], tuple[str, ...]]:
    """Add the histograms of all valid repeats; a repeat that should have a log and has none is reported."""
    found: dict[str, list[Distribution]] = {}
    notes, missing = [], []
    for repeat in valid:
        path = repeat.path / "latency.hlog"
        if not path.is_file():
            missing += [repeat.name] if repeat.result.delivery_latency_ms is not None else []
            continue
        try:
            log = hlog.read(path, MEASURES)
        except BundleError as error:
            notes.append(f"{repeat.name}: its durations are not in the percentiles: {error}")
            continue
        for tag, distribution in log.items():
            found.setdefault(tag, []).append(distribution)
    if missing:
        which = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more"
        notes.insert(0, f"{which}: latency.hlog is missing, the durations are not in the percentiles")
    pooled = {tag: histograms.pool(distributions) for tag, distributions in found.items()}
    return {tag: one for tag, one in pooled.items() if one is not None}, tuple(notes)


def _largest_share(results: Sequence[Result], measure: str, requests: int) -> float:
    """Gate by requests; and, where the repeats say how many requests lay beyond a percentile, by that too.

    Large requests bring many slow events at once: fewer than 1% of requests may lie beyond p99 of events.
    """
    percentiles = [getattr(result, f"{measure}_ms") for result in results]
    largest, unknown = largest_share(requests), None
    for name, share in PERCENTILES.items():
        if not all(one and name in one.requests_beyond for one in percentiles):
            unknown = unknown or share  # an older run has no p95: it is as sure as the next known percentile
            continue
        if sum(one.requests_beyond[name] for one in percentiles) < REQUESTS_BEYOND:
            return min(largest, _just_below(unknown or share))
        unknown = None
    return largest


def _just_below(share: float) -> float:
    return share - 1e-9


def _stages(results: Sequence[Result]) -> dict[str, float]:
    """Pool the stages' means: each repeat weighs by the events stored in its window."""
    having = [(result.stages_ms, _events(result)) for result in results if result.stages_ms]
    weights = [weight for _, weight in having]
    return {
        name: _weigh([stages[name].mean for stages, _ in having], weights)
        for name in STAGES
        if having and all(name in stages for stages, _ in having)
    }


def _cohorts(results: Sequence[Result]) -> tuple[Cohort, ...]:
    """Pool the repeats' cohorts by name: each holds the same share of its repeat's events."""
    names = list(dict.fromkeys(cohort.name for result in results for cohort in result.cohorts))
    found = []
    for name in names:
        having = [(r, next(c for c in r.cohorts if c.name == name)) for r in results if name in _names(r)]
        weights = [_events(result) for result, _ in having]
        stages = {
            stage: _weigh([cohort.stages_ms.get(stage, 0.0) for _, cohort in having], weights)
            for stage in having[0][1].stages_ms
        }
        found.append(Cohort(name, _weigh([cohort.delivery_latency_ms for _, cohort in having], weights), stages))
    return tuple(found)


def _names(result: Result) -> set[str]:
    return {cohort.name for cohort in result.cohorts}


def _events(result: Result) -> float:
    """Events stored in the window: the weight of a repeat's means."""
    length_s = result.window.end_s - result.window.start_s if result.window else 1.0
    return (result.throughput_events_per_s or 0.0) * length_s


def _weigh(numbers: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    if total <= 0:
        return sum(numbers) / len(numbers)
    return sum(number * weight for number, weight in zip(numbers, weights, strict=True)) / total


def _mean(numbers: Iterable[float | None]) -> float | None:
    there = [number for number in numbers if number is not None]
    return sum(there) / len(there) if there else None


def _mean_by_key(given: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean over the repeats that report anything, roles in their usual order, others after them."""
    there = [one for one in given if one]
    keys = list(dict.fromkeys([*ROLES, *(key for one in there for key in one)]))
    return {
        key: sum(one.get(key, 0.0) for one in there) / len(there) for key in keys if any(key in one for one in there)
    }

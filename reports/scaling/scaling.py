"""How throughput grows with the consumers: which cells a curve can be fitted through, and why there is none otherwise.

The law and its fit are in reports/scaling/usl.py, the rules in docs/method.md ("Scaling").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from reports import formats
from reports.cells import axes
from reports.cells.axes import CONSUMERS
from reports.cells.bottleneck import IDLE, OFFERED_LOAD, THIN, UNKNOWN
from reports.cells.cells import Cell
from reports.cells.neighbours import PARALLELISM
from reports.scaling import usl
from reports.scaling.usl import Data, Fit

LEVELS_ENOUGH = 5
"""Numbers of consumers that a fit needs: it has three parameters."""
LACK_OF_FIT_P = 0.01
"""Below it the levels lie too far from any such curve, given how far their repeats scatter."""
WIDEST_SIGMA, WIDEST_RATIO = 0.5, 1.5
"""Of sigma's interval, and of the ends of that of the throughput at the most consumers: wider ones show nothing."""
_NOT_SHARED = ("worker_process", OFFERED_LOAD, IDLE, UNKNOWN, THIN, PARALLELISM)
ASSUMPTIONS = (
    "contention and coherency beyond the measured levels are those of the measured ones",
    "no resource that was not saturated there becomes so: not the machine's CPU, Kafka or MongoDB",
    "each added consumer gets as many partitions as those measured had, so that none is idle",
)


class Level(Struct, frozen=True):
    """One number of consumers: its cell, and its throughput in events/s with an interval where there is one.

    ``left_out``: why no curve may be fitted through it, empty where one may.
    """

    consumers: int
    cell: str
    value: float | None
    low: float | None
    high: float | None
    left_out: str = ""


class Scaling(Struct, frozen=True):
    """The cells of one kind that differ in their consumers alone, fewest first.

    ``label``: what they have in common. ``fit`` None: none is possible, and ``why`` says why not. With a fit, ``why``
    says what was left out.
    """

    kind: str
    label: str
    axes: dict[str, object]
    levels: tuple[Level, ...]
    fit: Fit | None
    why: str


def group(cells: Sequence[Cell]) -> tuple[Scaling, ...]:
    """Return a Scaling for every kind and setting whose cells have at least two numbers of consumers."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.kind.scales and cell.plan.axes.get(CONSUMERS):
            rest = sorted((name, repr(value)) for name, value in cell.plan.axes.items() if name != CONSUMERS)
            groups.setdefault(repr((cell.plan.kind, rest)), []).append(cell)
    several = [group for group in groups.values() if len({cell.plan.axes[CONSUMERS] for cell in group}) > 1]
    return tuple(_scaling(sorted(group, key=_consumers), cells) for group in several)


def _consumers(cell: Cell) -> int:
    return int(cell.plan.axes[CONSUMERS])


def _scaling(group: Sequence[Cell], everything: Sequence[Cell]) -> Scaling:
    kind = group[0].plan.kind
    levels = _levels(group)
    usable = {level.consumers: cell for level, cell in zip(levels, group, strict=True) if not level.left_out}
    fitted, why = _fit(usable, levels)
    common = {name: value for name, value in group[0].plan.axes.items() if name != CONSUMERS}
    varying = axes.naming(cell.plan for cell in everything if cell.plan.kind == kind).varying
    return Scaling(kind, _label(common, varying), common, levels, fitted, why)


def _label(common: dict[str, object], varying: Iterable[str]) -> str:
    """Name what the cells have in common: ``8 partitions per topic, batch 500``."""
    named = [name for name in varying if name not in (CONSUMERS, axes.PARTITIONS)]
    partitions = formats.plural(int(str(common.get(axes.PARTITIONS) or 0)), "partition")
    return ", ".join([f"{partitions} per topic", *(axes.words(name, common.get(name)) for name in named)])


def _levels(group: Sequence[Cell]) -> tuple[Level, ...]:
    """Return each cell's throughput, and which a curve may not use: from the first that lacks what all share."""
    found = []
    short = ""
    for cell in group:
        value, low, high = _throughput(cell)
        short = short or _short_of(cell)
        found.append(
            Level(_consumers(cell), cell.plan.id, value, low, high, short or _unusable(cell, value, low, high))
        )
    return tuple(found)


def _throughput(cell: Cell) -> tuple[float | None, float | None, float | None]:
    if cell.kind.searched:
        answer = cell.capacity
        if answer is None:
            return None, None, None
        return answer.sustainable_events_per_s, answer.low_events_per_s, answer.high_events_per_s
    interval = cell.throughput
    return (interval.mean, interval.low, interval.high) if interval else (None, None, None)


def _short_of(cell: Cell) -> str:
    """Say which resource that all consumers share is saturated in this cell."""
    bound = cell.bottleneck
    if bound is None or not bound.determined or bound.resource in _NOT_SHARED:
        return ""
    return f"{bound.name} is saturated at N = {_consumers(cell)}"


def _unusable(cell: Cell, value: float | None, low: float | None, high: float | None) -> str:
    """Say what else keeps a level out of a fit."""
    n = _consumers(cell)
    if value is None or value <= 0:
        return f"there is no throughput at N = {n}" if cell.valid else f"no repeat at N = {n} is valid"
    if cell.idle_consumers:
        return f"{formats.plural(cell.idle_consumers, 'consumer')} of N = {n} had no partition"
    bound = cell.bottleneck
    if bound is None or bound.resource == THIN:
        why = f": {bound.because}" if bound else ""
        return f"whether what all share was saturated at N = {n} is not known{why}"
    if cell.kind.searched and not (cell.capacity and cell.capacity.confirmed):
        return f"the answer at N = {n} was not confirmed"
    if low is None or high is None:
        return f"the {'search' if cell.kind.searched else 'one repeat'} at N = {n} gave no interval on both sides"
    return ""


def _fit(usable: dict[int, Cell], levels: Sequence[Level]) -> tuple[Fit | None, str]:
    reasons = "; ".join(dict.fromkeys(level.left_out for level in levels if level.left_out))
    if len(levels) < LEVELS_ENOUGH:
        count = formats.plural(len(levels), "number of consumers", "numbers of consumers")
        return None, f"cannot fit: too few levels, {count} of at least {LEVELS_ENOUGH}" + (reasons and f"; {reasons}")
    if len(usable) < LEVELS_ENOUGH:
        return (
            None,
            f"cannot fit: only {len(usable)} of {len(levels)} levels can be used, not {LEVELS_ENOUGH}; {reasons}",
        )
    fitted = usl.fit(_data(usable))
    if fitted.lack_of_fit_p < LACK_OF_FIT_P:
        return None, (
            "cannot fit: the levels lie on no such curve; they are further from the best one than their repeats "
            f"scatter (lack of fit, p = {fitted.lack_of_fit_p:.1g} < {LACK_OF_FIT_P:g})"
        )
    vague = _vague(fitted, max(usable))
    if vague:
        return None, f"cannot fit: the repeats scatter too much; {vague}"
    return fitted, f"fitted without: {reasons}" if reasons else ""


def _vague(fitted: Fit, most: int) -> str:
    """Say where the intervals are too wide to show anything."""
    sigma, point = fitted.sigma, fitted.at(most)
    if point is not None and point.high > WIDEST_RATIO * point.low:
        return (
            f"the throughput at N = {most} could be anything from {formats.rounded(point.low)} to "
            f"{formats.rounded(point.high)} events/s, more than a factor of {WIDEST_RATIO:g}"
        )
    if sigma.high is not None and sigma.high - sigma.low > WIDEST_SIGMA:
        return f"sigma could be anything from {sigma.low:.2f} to {sigma.high:.2f}, more than {WIDEST_SIGMA:g} apart"
    return ""


def _data(usable: dict[int, Cell]) -> Data:
    if all(cell.kind.searched for cell in usable.values()):
        answers = {n: cell.capacity for n, cell in usable.items() if cell.capacity is not None}
        bounds = {
            n: (answer.sustainable_events_per_s or 0.0, answer.low_events_per_s or 0.0, answer.high_events_per_s or 0.0)
            for n, answer in answers.items()
        }
        return usl.from_intervals(bounds, next(iter(answers.values())).confidence)
    return usl.from_repeats(
        {n: [repeat.result.throughput_events_per_s or 0.0 for repeat in cell.counted] for n, cell in usable.items()}
    )

"""One axis as a question: "500 or 2,000?", where a matrix varies nothing else.

The cells of a round were measured in random order, one after the other: their values are paired by round and judged as
those of two interleaved runs (docs/method.md, "Comparing two runs").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bundle.reading import Bundle
from reports import formats, kinds
from reports.cells import axes
from reports.cells.axes import CONSUMERS, PARTITIONS
from reports.cells.cells import Cell, by_kind
from reports.ratios import measures, searches
from reports.ratios.measures import Measure
from reports.ratios.outcome import DEFAULT_EFFECT, DEFAULT_FLOOR
from stats import inference, power
from stats.inference import Estimate, Floats

_NO_CHOICE = ("offered_load", "generator_processes")
_MOST_WORDS = 24  # of the answer; how many events were lost comes after it


class _Pair(NamedTuple):
    """Two values of the axis: the better one compared with the other; a ratio above 1 is better."""

    better: Any
    other: Any
    ratio: float
    low: float
    high: float
    verdict: str
    rounds: int
    needed: int | None


def answer(bundle: Bundle, cells: Sequence[Cell]) -> str | None:
    """Return the answer in one line without its end, None if the matrix varies no axis or several, or has no values.

    ``cells``: those of the bundle.
    """
    axis = _axis(cells)
    if axis is None or bundle.manifest.status != "complete":
        return None
    for kind in kinds.every():
        asked = [cell for cell in cells if cell.kind is kind]
        if len(asked) > 1 and all(cell.valid for cell in asked):
            said = _said(axis, asked)
            return said if said and len(said.split()) <= _MOST_WORDS else None
    return None


def _axis(cells: Sequence[Cell]) -> str | None:
    """Find the one axis that varies among cells of a kind."""
    groups = by_kind(cells, lambda cell: cell.plan.kind).values()
    varied = {name for group in groups for name in axes.naming(cell.plan for cell in group).varying}
    return next(iter(varied)) if len(varied) == 1 and not varied & set(_NO_CHOICE) else None


def _said(axis: str, cells: Sequence[Cell]) -> str | None:
    """Rank the cells by their values, and compare the best with each other one."""
    measure = _measure(cells)
    means = [(mean, cell) for cell in cells if (mean := _mean(measure, cell)) is not None]
    if len(means) < len(cells):
        return None
    ranked = [cell for _, cell in sorted(means, key=lambda each: each[0], reverse=True)]
    pairs = _pairs(axis, ranked, measure)
    if any(pair.verdict == "slower" for pair in pairs):  # the ranking used rounds that only one of them has
        return None
    first = min(pairs, key=lambda pair: (pair.verdict == "faster", pair.ratio))
    if all(pair.verdict == "faster" for pair in pairs):
        return _better(axis, first, measure, several=len(pairs) > 1)
    if all(pair.verdict == "same" for pair in pairs):
        values = " or ".join(formats.value(cell.plan.axes[axis]) for cell in sorted(cells, key=_place(axis)))
        return f"{_name(axis, values)}: no difference beyond {DEFAULT_FLOOR:.0%} in {measure.title} ({_rounds(first)})"
    return _open(axis, first, measure)


def _pairs(axis: str, ranked: Sequence[Cell], measure: Measure) -> list[_Pair]:
    """Compare the best with each other cell, with Holm's correction for all pairs, because the best was picked."""
    both = [(other, better) for place, better in enumerate(ranked) for other in ranked[place + 1 :]]
    estimate = _estimate(both, measure)
    verdicts = inference.verdicts(estimate, DEFAULT_FLOOR)
    low, high = estimate.interval()
    found = []
    for place in range(len(ranked) - 1):
        other, better = both[place]
        needed = None
        if estimate.tested[place] and not better.kind.searched:
            spreads = power.plausible_spreads(float(estimate.spread[place]), float(estimate.freedom[place]))
            needed = power.rounds_to_tell(spreads, cells=len(both), effect=DEFAULT_EFFECT, floor=DEFAULT_FLOOR)
        found.append(
            _Pair(
                better.plan.axes[axis],
                other.plan.axes[axis],
                math.exp(estimate.log_ratio[place]),
                math.exp(low[place]),
                math.exp(high[place]) if estimate.tested[place] else math.inf,
                inference.VERDICTS[verdicts[place]],
                int(estimate.repeats[place]),
                needed,
            )
        )
    return found


def _estimate(both: Sequence[tuple[Cell, Cell]], measure: Measure) -> Estimate:
    """Estimate each pair by its rounds or, for two searches, by what their probes leave plausible."""
    rounds = sorted({number for pair in both for cell in pair for number in measure.values(cell)})
    sides = [np.array([_logs(pair[side], measure, rounds) for pair in both]) for side in (0, 1)]
    known = [searches.log_ratio(*pair) if pair[0].kind.searched else (math.nan, math.nan) for pair in both]
    return inference.with_known(inference.paired(*sides), *np.array(known, dtype=np.float64).T)


def _logs(cell: Cell, measure: Measure, rounds: Sequence[int]) -> Floats:
    values = measure.values(cell)
    sign = 1 if measure.more_is_better else -1
    return np.array([sign * math.log(values[each]) if each in values else math.nan for each in rounds] or [math.nan])


def _measure(cells: Sequence[Cell]) -> Measure:
    """Return the measure to compare: the same for all cells, p50 if one of them lacks p99 in a repeat."""
    found = [measures.primary(one, other) for one, other in pairwise(cells)]
    return measures.DELIVERY_P50 if measures.DELIVERY_P50 in found else found[0]


def _mean(measure: Measure, cell: Cell) -> float | None:
    """Return the mean by which cells are ranked; more is better."""
    if cell.kind.searched:
        return measure.of_cell(cell)
    logs = _logs(cell, measure, sorted(measure.values(cell)))
    return None if np.isnan(logs).any() else float(logs.mean())


def _better(axis: str, pair: _Pair, measure: Measure, *, several: bool) -> str:
    """Say how much better the best value is than the next one."""
    than = f"{'the next, ' if several else ''}{formats.value(pair.other)}"
    low, high = sorted(_share(bound, measure) for bound in (pair.low, pair.high))
    more = f"{_share(pair.ratio, measure):.0%} {'more' if measure.more_is_better else 'lower'}"
    span = f"({low:.0%} to {high:.0%}, {_rounds(pair)})"
    name = _name(axis, formats.value(pair.better))
    if not measure.more_is_better:
        return f"{measure.title} is {more} with {name} than with {than} {span}"
    plural = axis in (CONSUMERS, PARTITIONS) and pair.better != 1
    verb = ("hold" if measure is measures.SUSTAINABLE else "store") + ("" if plural else "s")
    return f"{name} {verb} {more} than {than} {span}"


def _open(axis: str, pair: _Pair, measure: Measure) -> str:
    """Say that the best cannot be distinguished from another value, what is known, and how many rounds would decide."""
    said = f"cannot tell {_name(axis, formats.value(pair.better))} from {formats.value(pair.other)} by {measure.title}"
    if math.isinf(pair.high):
        return f"{said}: one round alone shows no difference"
    sentence = f"{said}: ratio {pair.ratio:.2f} ({pair.low:.2f} to {pair.high:.2f}, {_rounds(pair)})"
    if pair.needed is None:
        return sentence
    return f"{sentence}; {pair.needed:,} rounds would show {DEFAULT_EFFECT:.0%}"


def _share(ratio: float, measure: Measure) -> float:
    """Return how much more, or how much less time, as a share."""
    return ratio - 1 if measure.more_is_better else 1 - 1 / ratio


def _rounds(pair: _Pair) -> str:
    return "one search each" if pair.needed is None and pair.rounds == 1 else f"{pair.rounds} paired rounds"


def _name(axis: str, value: str) -> str:
    if axis in (CONSUMERS, PARTITIONS):
        return f"{value} {axis[:-1] if value == '1' else axis}"
    return axes.words(axis, value)


def _place(axis: str) -> Any:
    def key(cell: Cell) -> tuple[bool, Any]:
        value = cell.plan.axes[axis]
        return (True, value) if isinstance(value, int | float) else (False, str(value))

    return key

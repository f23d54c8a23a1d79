"""From two runs to a comparison: cells matched, measures paired by round, ratios judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports import cells as cell_views
from reports import formats
from reports.bundle import CAPACITY, Bundle
from reports.cells import Cell
from reports.comparison import cautions, environments, findings, inference, measures, power, reasons, searches
from reports.comparison.inference import VERDICTS, Estimate, Floats, Verdict
from reports.comparison.measures import Measure
from reports.comparison.outcome import CellComparison, Comparison, Ratio, Rules
from reports.errors import ComparisonError
from reports.schema import Manifest

SAME_LOAD = 0.01
"""Offered loads that are further apart are different questions."""


def compare(base: Bundle, new: Bundle, rules: Rules) -> Comparison:
    """Compare two runs cell by cell.

    Raises:
        ComparisonError: they are one run, or have no cell in common.
    """
    if base.path.resolve() == new.path.resolve():
        raise ComparisonError(f"BASE and NEW are both {base.path}: name two runs")
    ours, theirs = ({cell.plan.id: cell for cell in cell_views.of(bundle)} for bundle in (base, new))
    pairs = [(cell, theirs[name]) for name, cell in ours.items() if name in theirs]
    if not pairs:
        raise ComparisonError(
            f"{base.manifest.run_id} and {new.manifest.run_id} have no cell in common: compare runs of one matrix, "
            "or two settings of it with --ab"
        )
    interleaved = are_interleaved(base.manifest, new.manifest)
    facts = environments.facts(base.manifest, new.manifest)
    only = [tuple(name for name in one if name not in other) for one, other in ((ours, theirs), (theirs, ours))]
    return Comparison(
        base=base,
        new=new,
        rules=rules,
        interleaved=interleaved,
        cells=_judged(pairs, rules, interleaved=interleaved),
        only_base=only[0],
        only_new=only[1],
        environment=facts,
        warnings=(
            *cautions.of_pair(base.manifest, new.manifest, facts, interleaved=interleaved),
            *cautions.of_cells(pairs, only, interleaved=interleaved),
            *cautions.of_run("BASE", base, tuple(ours.values())),
            *cautions.of_run("NEW", new, tuple(theirs.values())),
        ),
        findings=findings.changes(base, new),
    )


def are_interleaved(base: Manifest, new: Manifest) -> bool:
    """Say whether one session made both runs, each round of one beside that of the other."""
    return base.interleaved_with == new.run_id and new.interleaved_with == base.run_id


@dataclass(frozen=True)
class _Tests:
    """The judged measures of every cell, estimated and judged together."""

    estimate: Estimate
    low: Floats
    high: Floats
    corrected_p: Floats
    verdicts: Sequence[Verdict]
    count: int


@dataclass(frozen=True)
class _Question:
    """One measure of one cell in both runs. ``obstacle``: why the two are not to be compared, if so."""

    pair: tuple[Cell, Cell]
    measure: Measure
    obstacle: str
    is_primary: bool

    @property
    def usable(self) -> Measure | None:
        """The measure, where it may be tested."""
        return None if self.obstacle else self.measure


def _questions(pairs: Sequence[tuple[Cell, Cell]], rules: Rules) -> list[_Question]:
    """Give what is judged: the primary measure of each cell and, where that is asked for, what its events cost."""
    found = []
    for pair in pairs:
        obstacle = _obstacle(*pair)
        found.append(_Question(pair, measures.primary(*pair), obstacle, is_primary=True))
        costs = measures.COSTS.get(pair[0].plan.kind, ()) if rules.cpu else ()
        found += [_Question(pair, measure, obstacle, is_primary=False) for measure in costs]
    return found


def _judged(pairs: Sequence[tuple[Cell, Cell]], rules: Rules, *, interleaved: bool) -> tuple[CellComparison, ...]:
    asked = _questions(pairs, rules)
    tests = _test([each.pair for each in asked], [each.usable for each in asked], rules, interleaved=interleaved)
    beside = dict(zip([base.plan.id for base, _ in pairs], _beside(pairs, interleaved=interleaved), strict=True))
    judged = {(each.pair[0].plan.id, each.measure.name) for each in asked}
    found = []
    for place, question in enumerate(asked):
        base, new = question.pair
        if base.plan.kind == CAPACITY:
            ratio, said, why = searches.judge(base, new, rules)
            found.append(CellComparison(base, new, ratio, said, why, None, None, ()))
            continue
        others = beside[base.plan.id] if question.is_primary else []
        unjudged = tuple(one for one in others if (base.plan.id, one.measure.name) not in judged)
        ratio = _ratio(question.measure, question.pair, tests, place)
        said = tests.verdicts[place]
        why = question.obstacle or reasons.of(said, ratio, among=tests.count, noun=rules.noun, floor=rules.floor)
        told = _power(tests, place, rules)
        found.append(CellComparison(base, new, ratio, said, why, *told, unjudged, judges_cpu=not question.is_primary))
    return tuple(found)


def _obstacle(base: Cell, new: Cell) -> str:
    """Say why two cells of one name do not ask the same; nothing where they do."""
    loads = base.offered_load, new.offered_load
    if base.plan.kind == CAPACITY or None in loads:
        return ""
    low, high = sorted(load or 0.0 for load in loads)
    if high - low <= SAME_LOAD * high:
        return ""
    told = " and ".join(formats.count(load) for load in loads)
    return f"the offered loads are not the same ({told} events/s): give offered_load in events/s, or use --ab"


def _test(
    pairs: Sequence[tuple[Cell, Cell]], chosen: Sequence[Measure | None], rules: Rules, *, interleaved: bool
) -> _Tests:
    estimate = _estimate(pairs, chosen, interleaved=interleaved)
    codes = inference.judge(estimate, rules.floor)
    low, high = estimate.interval()
    return _Tests(
        estimate=estimate,
        low=low,
        high=high,
        corrected_p=inference.holm(estimate.p, estimate.tested),
        verdicts=[VERDICTS[code] for code in codes],
        count=int(estimate.tested.sum()),
    )


def _estimate(pairs: Sequence[tuple[Cell, Cell]], chosen: Sequence[Measure | None], *, interleaved: bool) -> Estimate:
    """Estimate one measure of each pair of cells; None: nothing is taken of it."""
    rounds = sorted({repeat.result.round for pair in pairs for cell in pair for repeat in cell.valid})
    sides = []
    for side in (0, 1):
        logs = np.full((len(pairs), max(len(rounds), 1)), np.nan)
        for place, (pair, measure) in enumerate(zip(pairs, chosen, strict=True)):
            if measure is None:
                continue
            for number, value in measure.values(pair[side]).items():
                logs[place, rounds.index(number)] = math.log(value) * (1 if measure.more_is_better else -1)
        sides.append(logs)
    return (inference.paired if interleaved else inference.unpaired)(*sides)


def _beside(pairs: Sequence[tuple[Cell, Cell]], *, interleaved: bool) -> list[list[Ratio]]:
    """Estimate the measures that are not judged; a cell has those for which both runs have values."""
    found: list[list[Ratio]] = [[] for _ in pairs]
    for measure in measures.BESIDE:
        usable = [None if base.plan.kind == CAPACITY else measure for base, _ in pairs]
        estimate = _estimate(pairs, usable, interleaved=interleaved)
        low, high = estimate.interval()
        for place, pair in enumerate(pairs):
            if usable[place] is None or not all(measure.values(cell) for cell in pair):
                continue
            found[place].append(_unjudged(measure, pair, estimate, (low, high), place))
    return found


def _ratio(measure: Measure, pair: tuple[Cell, Cell], tests: _Tests, place: int) -> Ratio:
    estimate, tested = tests.estimate, bool(tests.estimate.tested[place])
    return dataclasses.replace(
        _unjudged(measure, pair, estimate, (tests.low, tests.high), place),
        p=float(estimate.p[place]) if tested else None,
        corrected_p=float(tests.corrected_p[place]) if tested else None,
        smallest_p=float(estimate.smallest_p[place]),
    )


def _unjudged(
    measure: Measure, pair: tuple[Cell, Cell], estimate: Estimate, bounds: tuple[Floats, Floats], place: int
) -> Ratio:
    tested, repeats = bool(estimate.tested[place]), int(estimate.repeats[place])
    return Ratio(
        measure=measure,
        base=measure.values(pair[0]),
        new=measure.values(pair[1]),
        rounds=repeats,
        ratio=math.exp(estimate.log_ratio[place]) if repeats else None,
        low=math.exp(bounds[0][place]) if tested else None,
        high=math.exp(bounds[1][place]) if tested else None,
    )


def _power(tests: _Tests, place: int, rules: Rules) -> tuple[int | None, float | None]:
    """Give the rounds that would tell the effect asked for, and the effect that the rounds at hand tell."""
    estimate = tests.estimate
    if not estimate.tested[place]:
        return None, None
    spreads = power.plausible_spreads(float(estimate.spread[place]), float(estimate.freedom[place]))
    needed = power.rounds_to_tell(spreads, cells=tests.count, effect=rules.effect, floor=rules.floor)
    return needed, power.effect_told(int(estimate.repeats[place]), spreads, cells=tests.count, floor=rules.floor)

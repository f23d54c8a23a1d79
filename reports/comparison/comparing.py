"""From two runs to a comparison: cells matched, measures paired by round, ratios judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bundle.manifest import Manifest
from bundle.reading import Bundle
from reports import formats
from reports.cells import cells as cell_views
from reports.cells.cells import Cell
from reports.comparison import cautions, findings
from reports.errors import ComparisonError
from reports.ratios import environments, groups, measures, reasons, searches
from reports.ratios.family import Family, Tested, untested
from reports.ratios.measures import Measure
from reports.ratios.outcome import CellComparison, Comparison, Ratio, Rules, Together
from stats import inference, power
from stats.inference import Estimate

SAME_LOAD = 0.01
"""Offered loads that are further apart are different questions."""
_ONLY_SEARCH = 1


def compare(base: Bundle, new: Bundle, rules: Rules) -> Comparison:
    """Compare two runs cell by cell.

    Raises:
        ComparisonError: they are one run, or have no cell in common.
    """
    if base.path.resolve() == new.path.resolve():
        raise ComparisonError(f"BASE and NEW are both {base.path}: name two runs")
    ours, theirs = ({cell.plan.id: cell for cell in cell_views.summarise(bundle)} for bundle in (base, new))
    pairs = [(cell, theirs[name]) for name, cell in ours.items() if name in theirs]
    if not pairs:
        raise ComparisonError(
            f"{base.manifest.run_id} and {new.manifest.run_id} have no cell in common: compare runs of one matrix, "
            "or two settings of it with --ab"
        )
    interleaved = are_interleaved(base.manifest, new.manifest)
    facts = environments.facts(base.manifest, new.manifest)
    only = [tuple(name for name in one if name not in other) for one, other in ((ours, theirs), (theirs, ours))]
    judged, together = _judged(pairs, rules, interleaved=interleaved)
    of_each = [cautions.of_run(*each) for each in (("BASE", base, ours.values()), ("NEW", new, theirs.values()))]
    return Comparison(
        base=base,
        new=new,
        rules=rules,
        interleaved=interleaved,
        cells=judged,
        only_base=only[0],
        only_new=only[1],
        environment=facts,
        warnings=(
            *cautions.of_pair(base.manifest, new.manifest, facts, interleaved=interleaved),
            *cautions.of_cells(pairs, only, interleaved=interleaved),
            *(warning for warnings, _ in of_each for warning in warnings),
        ),
        findings=findings.changes(base, new),
        together=together,
        notes=tuple(note for _, notes in of_each for note in notes),
    )


def are_interleaved(base: Manifest, new: Manifest) -> bool:
    """Say whether one session made both runs, each round of one beside that of the other."""
    return base.interleaved_with == new.run_id and new.interleaved_with == base.run_id


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
    """Return what is judged: the primary measure of each cell and, where that is asked for, what its events cost."""
    found = []
    for pair in pairs:
        obstacle = _obstacle(*pair)
        found.append(_Question(pair, measures.primary(*pair), obstacle, is_primary=True))
        costs = measures.costs(pair[0]) if rules.cpu else ()
        found += [_Question(pair, measure, obstacle, is_primary=False) for measure in costs]
    return found


def _judged(
    pairs: Sequence[tuple[Cell, Cell]], rules: Rules, *, interleaved: bool
) -> tuple[tuple[CellComparison, ...], tuple[Together, ...]]:
    asked = _questions(pairs, rules)
    tests = _test(asked, rules, interleaved=interleaved)
    beside = dict(zip([base.plan.id for base, _ in pairs], _beside(pairs, interleaved=interleaved), strict=True))
    judged = {(each.pair[0].plan.id, each.measure.name) for each in asked}
    found = []
    for place, question in enumerate(asked):
        base, new = question.pair
        others = beside[base.plan.id] if question.is_primary else []
        unjudged = tuple(one for one in others if (base.plan.id, one.measure.name) not in judged)
        ratio = _ratio(question.measure, question.pair, tests.tested(place))
        said = tests.verdicts[place]
        needed, seen = _power(question, tests, place, rules)
        why = question.obstacle or reasons.explain(
            said, ratio, among=tests.count, noun=rules.noun, floor=rules.floor, paired=interleaved, seen=seen
        )
        if base.kind.searched and not question.obstacle:
            why = f"{why}; the limit lies at {searches.spans(base, new)}"
        found.append(
            CellComparison(base, new, ratio, said, why, needed, seen, unjudged, judges_cpu=not question.is_primary)
        )
    kinds = [(each.pair[0].plan.kind, each.measure) if each.is_primary else None for each in asked]
    return tuple(found), groups.compare(kinds, tests.estimate, rules)


def _obstacle(base: Cell, new: Cell) -> str:
    """Say why two cells of one name cannot be compared, or have no data; empty if they can."""
    for side, cell in (("BASE", base), ("NEW", new)):
        if not cell.valid:
            void = cell.attempts[-1].result.reasons if cell.attempts else ()
            why = f": {formats.plural(len(cell.attempts), 'attempt')} void, the last because {void[0]}" if void else ""
            return f"{side} has no valid repeat{why}"
    if base.kind.searched:
        return searches.obstacle(base, new)
    loads = base.offered_load, new.offered_load
    if None in loads:
        return ""
    low, high = sorted(load or 0.0 for load in loads)
    if high - low <= SAME_LOAD * high:
        return ""
    words = " and ".join(formats.count(load) for load in loads)
    return (
        f"the offered loads are not the same ({words} events/s): measure NEW with --baseline BASE, which offers BASE's "
        "loads, or both with --ab"
    )


def _test(asked: Sequence[_Question], rules: Rules, *, interleaved: bool) -> Family:
    pairs = [each.pair for each in asked]
    estimate = _estimate(pairs, [each.usable for each in asked], interleaved=interleaved)
    known = [searches.log_ratio(*pair) if pair[0].kind.searched else (math.nan, math.nan) for pair in pairs]
    log_ratio, error = np.array(known, dtype=np.float64).T
    return Family(inference.with_known(estimate, log_ratio, error), rules.floor)


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
    for measure in measures.beside(base for base, _ in pairs):
        usable = [None if base.kind.searched else measure for base, _ in pairs]
        estimate = _estimate(pairs, usable, interleaved=interleaved)
        interval = estimate.interval()
        for place, pair in enumerate(pairs):
            if usable[place] is None or not all(measure.values(cell) for cell in pair):
                continue
            found[place].append(_ratio(measure, pair, untested(estimate, interval, place)))
    return found


def _ratio(measure: Measure, pair: tuple[Cell, Cell], tested: Tested) -> Ratio:
    base, new = (_values(measure, cell) for cell in pair)
    return Ratio(measure=measure, base=base, new=new, **dataclasses.asdict(tested))


def _values(measure: Measure, cell: Cell) -> dict[int, float]:
    """Return the value of each round; a search has one, of all its probes."""
    if not cell.kind.searched:
        return measure.values(cell)
    found = measure.of_cell(cell)
    return {_ONLY_SEARCH: found} if found else {}


def _power(question: _Question, tests: Family, place: int, rules: Rules) -> tuple[int | None, float | None]:
    """Return the rounds that would show the wanted effect, and the effect that the existing repeats can show."""
    estimate = tests.estimate
    if not estimate.tested[place]:
        return None, None
    if question.pair[0].kind.searched:
        return None, groups.smallest_effect(estimate, place, cells=tests.count, floor=rules.floor)
    known_by = float(estimate.repeats[place]) - 1  # with Welch's degrees of freedom the noise would seem known too well
    spreads = power.plausible_spreads(float(estimate.spread[place]), known_by)
    needed = power.rounds_to_tell(spreads, cells=tests.count, effect=rules.effect, floor=rules.floor)
    return needed, groups.smallest_effect(estimate, place, cells=tests.count, floor=rules.floor, known_by=known_by)

"""All cells of one kind together: they may show a change for which no single cell has enough rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from reports.ratios import reasons
from reports.ratios.family import Family
from reports.ratios.measures import Measure
from reports.ratios.outcome import Ratio, Rules, Together
from stats import inference, power
from stats.inference import Estimate

_NOUN = "kind"


def compare(kinds: Sequence[tuple[str, Measure] | None], estimate: Estimate, rules: Rules) -> tuple[Together, ...]:
    """Judge the mean log ratio of each kind that has two or more testable cells, in a separate family of tests.

    ``kinds``: for each test the kind of its cell and the measure; None if it belongs to no group.
    """
    asked = list(dict.fromkeys((kind[0], kind[1].name) for kind in kinds if kind))
    if not asked:
        return ()
    members = np.array([[kind is not None and (kind[0], kind[1].name) == each for kind in kinds] for each in asked])
    whole = inference.together(estimate, members)
    family = Family(whole, rules.floor)
    found = []
    for place in map(int, np.flatnonzero(whole.tested)):
        first = int(np.flatnonzero(members[place])[0])
        kind = kinds[first]
        if kind is None:
            continue
        ratio = Ratio(measure=kind[1], base={}, new={}, **dataclasses.asdict(family.tested(place)))
        said = family.verdicts[place]
        seen = smallest_effect(whole, place, cells=family.count, floor=rules.floor)
        why = reasons.explain(said, ratio, among=family.count, noun=_NOUN, floor=rules.floor, seen=seen)
        cells = int((members[place] & estimate.tested).sum())
        found.append(Together(kind[0], cells, ratio, said, why, seen))
    return tuple(found)


def smallest_effect(
    estimate: Estimate, place: int, *, cells: int, floor: float, known_by: float | None = None
) -> float | None:
    """Return the smallest change that such repeats, with their number and spread, can show; None if none.

    ``known_by``: the degrees of freedom by which the noise itself is known (default: those of the estimate).
    """
    freedom, error = float(estimate.freedom[place]), float(estimate.standard_error[place])
    errors = power.plausible_spreads(error, freedom if known_by is None else known_by)
    smallest_p = float(estimate.smallest_p[place])
    return power.smallest_effect(errors, freedom, smallest_p=smallest_p, cells=cells, floor=floor)

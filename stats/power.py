"""How many interleaved rounds would show an effect, and which effect these rounds would have shown."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import special

from stats.inference import FAMILY_LEVEL, Floats

POWER = 0.9
MOST_ROUNDS = 10_000
"""No larger number of rounds is looked for."""
EXCESS_KURTOSIS = 3.0
"""Heavier tails than a normal distribution's are allowed for: a stalled repeat is rare, and a few rounds may have none.

In the noise run of two cores the log ratio of a pair had at most 1.8 (tests/unit/data/repeats.json).
"""
_SHARES = (np.arange(64) + 0.5) / 64
_LARGEST_EFFECT = 10.0
_STEPS = 40


def fewest_rounds(cells: int, *, paired: bool = True) -> int:
    """Return the fewest rounds with which a verdict on one of ``cells`` is possible: p has to reach Holm's level.

    That is 2 / 2^n for n pairs; for two runs of n repeats each that were not interleaved, 2 / the ways to split 2n.
    """
    level = FAMILY_LEVEL / max(cells, 1)
    if paired:
        return 1 + math.ceil(math.log2(1 / level))
    return next(rounds for rounds in itertools.count(2) if 2 / math.comb(2 * rounds, rounds) <= level)


def plausible_spreads(spread: float, freedom: float) -> Floats:
    """Return spreads that are all as plausible, if ``freedom`` + 1 differences had the standard deviation ``spread``.

    The variance of a sample variance is 2 / freedom + kurtosis / n of its square: as many degrees of freedom as a
    normal distribution would have for that are left of ``freedom``.
    """
    left = 2 / (2 / freedom + EXCESS_KURTOSIS / (freedom + 1))
    return np.asarray(spread * np.sqrt(left / (2 * special.gammaincinv(left / 2, _SHARES))))


def rounds_to_tell(spreads: Floats, *, cells: int, effect: float, floor: float) -> int | None:
    """Return the rounds at which a true change by the factor 1 + ``effect`` is shown with the probability ``POWER``.

    That is its mean over ``spreads``, at the most demanding of Holm's levels over ``cells``.
    None where more than ``MOST_ROUNDS`` are needed.
    """
    low, high = fewest_rounds(cells), MOST_ROUNDS + 1
    while low < high:
        middle = (low + high) // 2
        if _power(middle, spreads, cells, effect, floor) < POWER:
            low = middle + 1
        else:
            high = middle
    return low if low <= MOST_ROUNDS else None


def smallest_effect(errors: Floats, freedom: float, *, smallest_p: float, cells: int, floor: float) -> float | None:
    """Return the smallest effect that is shown with probability ``POWER``: 0.25 is a change by 1.25.

    ``errors``: equally plausible standard errors of the log ratio. None if p cannot become low enough, or if not even
    a tenfold change is shown.
    """
    if smallest_p * cells > FAMILY_LEVEL or _chance(errors, freedom, cells, _LARGEST_EFFECT, floor) < POWER:
        return None
    low, high = 0.0, _LARGEST_EFFECT
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance(errors, freedom, cells, middle, floor) < POWER else (low, middle)
    return high


def _power(rounds: int, spreads: Floats, cells: int, effect: float, floor: float) -> float:
    """Mean probability that ``rounds`` pairs show an effect."""
    return _chance(spreads / math.sqrt(rounds), rounds - 1, cells, effect, floor)


def _chance(errors: Floats, freedom: float, cells: int, effect: float, floor: float) -> float:
    """Mean probability that a ratio is shown to differ by its p and by an estimate beyond the floor.

    The first by Student's t distribution off its centre, in the normal approximation of Abramowitz and Stegun
    (26.7.10); what the second takes away is bounded by its whole chance.
    """
    shift, scale = math.log1p(effect), 1 / np.maximum(errors, 1e-12)
    needed = special.stdtrit(freedom, 1 - FAMILY_LEVEL / max(cells, 1) / 2)
    shown = special.ndtr((shift * scale - needed * (1 - 1 / (4 * freedom))) / np.sqrt(1 + needed**2 / (2 * freedom)))
    below = special.ndtr((math.log1p(floor) - shift) * scale)
    return float(np.mean(np.maximum(shown - below, 0.0)))

"""Interleaved rounds: in each, everything once, what is compared next to each other, who comes first by chance.

A machine is faster in one minute and slower in the next. Neighbours meet that alike, so the ratio of a pair is steadier
than what it is made of; and because chance set their order, a drift favours neither side.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from stats import intervals
from stats.intervals import LogT

FEWEST_PAIRS = 10
"""Of which a ratio has to be made before a target can be met (docs/performance.md)."""

Item = TypeVar("Item")


def coin(*seed: object) -> random.Random:
    """Return the source of an order: the same order for the same seed."""
    return random.Random("/".join(map(str, seed)))  # noqa: S311 - an order, and no secret


def neighbours(groups: Iterable[Sequence[Item]], chance: random.Random) -> Iterator[Item]:
    """Yield the members of each group next to each other, in random order; the groups as they come."""
    for group in groups:
        yield from chance.sample(group, len(group))


def shuffled(groups: Iterable[Sequence[Item]], chance: random.Random) -> list[Item]:
    """Return a round: the members of each group next to each other, members and groups in random order."""
    mixed = [chance.sample(group, len(group)) for group in groups]
    return [item for group in chance.sample(mixed, len(mixed)) for item in group]


def ratio(ratios: Sequence[float]) -> LogT | None:
    """Return the geometric mean of the ratios of pairs, all above 0; its ends are one-sided 95% bounds."""
    return intervals.log_t(ratios, intervals.ONE_SIDED)

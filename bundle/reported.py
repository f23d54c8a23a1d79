"""What a system may report of itself, and the words where it does not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

Report = Literal["stamps", "backlog", "documents"]
"""``stamps``: when it fetched and stored each event. ``backlog``: what of its topics it has not read yet, and its dead
letters. ``documents``: what it stored, in a collection that can be read."""

REPORTS: tuple[Report, ...] = get_args(Report)
NOT_REPORTED = "not reported by this system"


def missing(reported: Collection[Report]) -> tuple[Report, ...]:
    """Return the reports that are not among ``reported``."""
    return tuple(each for each in REPORTS if each not in reported)

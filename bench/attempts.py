"""How often a repeat is tried: one that is void is replaced at most twice."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.result import Result

MAX_ATTEMPTS = 3


def is_finished(attempts: Sequence[Result]) -> bool:
    """Whether a repeat needs no further attempt: one is valid, or enough of them were void."""
    return any(each.valid for each in attempts) or len(attempts) >= MAX_ATTEMPTS

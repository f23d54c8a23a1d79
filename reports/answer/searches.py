"""The answer of the search of a capacity cell, in the words that page, tables and summaries use."""

from __future__ import annotations

import re

from bundle.capacity import CapacityAnswer
from bundle.reading import Repeat
from reports import formats
from reports.answer import objective as objectives

SUSTAINED, NOT_SUSTAINED, UNDETERMINED, VOID = "sustained", "not sustained", "undetermined", "void"
VERDICTS = (SUSTAINED, NOT_SUSTAINED, UNDETERMINED, VOID)
_WHOLE_SECONDS = re.compile(r"\b(\d+)000 ms\b")
_LIMIT = re.compile(r"≤ \S+ m?s\b")
_NONE_REJECTED = ", at most 0.0% rejected"


def interval(found: CapacityAnswer | None) -> str:
    """The interval as ``23,100 to 24,900``; a side without a bound is named so."""
    if found is None:
        return formats.NOTHING
    low, high = found.low_events_per_s, found.high_events_per_s
    if low is None and high is None:
        return "not bounded"
    if low is None:
        return f"below {formats.rounded(high)}"
    if high is None:
        return f"above {formats.rounded(low)}"
    return f"{formats.rounded(low)} to {formats.rounded(high)}"


def confirmed(found: CapacityAnswer | None) -> str:
    """Whether further probes confirmed the answer."""
    if found is None or found.sustainable_events_per_s is None:
        return formats.NOTHING
    return "yes" if found.confirmed else "no"


def objective(found: CapacityAnswer | None) -> str:
    """The objective as people write it: ``p99 delivery latency ≤ 1 s``; that nothing may be rejected is understood."""
    if found is None:
        return ""
    words = found.objective.removesuffix(_NONE_REJECTED).replace("<=", "≤").replace(">=", "≥")
    words = _WHOLE_SECONDS.sub(r"\1 s", words)
    return _LIMIT.sub(lambda found: formats.unbroken(found[0]), words)


def objective_p99_ms(found: CapacityAnswer | None) -> float | None:
    """The p99 of delivery latency (ms) that the objective asks for; None where it asks for none."""
    asked = objectives.find(found.objective) if found else ()
    limits = [one.limit_ms for one in asked if (one.measure, one.percentile) == ("delivery_latency", "p99")]
    return min(limits, default=None)


def ended(found: CapacityAnswer | None) -> str:
    """How the search ended, in words."""
    return found.ended if found else "not ended: there is no capacity.json"


def verdict(repeat: Repeat) -> str:
    """What a probe says of its load: one of ``VERDICTS``."""
    if not repeat.result.valid or repeat.result.probe is None:
        return VOID
    return repeat.result.probe.verdict

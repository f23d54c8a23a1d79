"""What the system of some repeats did not report: it is left out of tables and figures, and said in words."""

from __future__ import annotations

from collections.abc import Iterable

from bundle.reported import NOT_REPORTED, REPORTS, Report
from bundle.result import Result

__all__ = ["NOT_REPORTED", "lacks", "missing", "sentence"]

_WORDS: dict[Report, str] = {
    "stamps": "stored events a second, delivery latency, its stages, deliveries, consumers, event loops",
    "backlog": "backlog, dead letters, what was left in Kafka",
    "documents": "what is stored",
}


def missing(results: Iterable[Result]) -> tuple[Report, ...]:
    """Return what at least one of the repeats lacks because the system does not report it."""
    lacking = {report for result in results for report in result.not_reported}
    return tuple(report for report in REPORTS if report in lacking)


def lacks(results: Iterable[Result], report: Report) -> bool:
    """Whether at least one of the repeats lacks ``report``."""
    return any(report in result.not_reported for result in results)


def sentence(results: Iterable[Result]) -> str:
    """Say what is not there because the system does not report it; empty if nothing is missing."""
    what = ", ".join(_WORDS[each] for each in missing(results))
    return f"{what[0].upper()}{what[1:]}: {NOT_REPORTED}." if what else ""

"""What the system of some repeats did not report: it is left out of tables and figures, and said in words."""

from __future__ import annotations

from collections.abc import Iterable

from bundle.reported import NOT_REPORTED, REPORTS, Report
from bundle.result import Result

__all__ = ["NOT_REPORTED", "lacks", "missing"]


def missing(results: Iterable[Result]) -> tuple[Report, ...]:
    """Return what at least one of the repeats lacks because the system does not report it."""
    lacking = {report for result in results for report in result.not_reported}
    return tuple(report for report in REPORTS if report in lacking)


def lacks(results: Iterable[Result], report: Report) -> bool:
    """Whether at least one of the repeats lacks ``report``."""
    return any(report in result.not_reported for result in results)

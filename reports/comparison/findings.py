"""What the system did wrong in one run and not in the other."""

from __future__ import annotations

import re

from reports import verdict
from reports.bundle import Bundle
from reports.comparison.outcome import FindingChange

_BRACKETS = re.compile(r"\s*\([^)]*\)")
_NUMBER = re.compile(r"-?\d[\d,.]*")


def changes(base: Bundle, new: Bundle) -> tuple[FindingChange, ...]:
    """Count, by cell, the attempts that have each sort of finding; what NEW alone has comes first."""
    first: dict[tuple[str, str], str] = {}
    counts: dict[tuple[str, str], list[int]] = {}
    for side, bundle in enumerate((base, new)):
        for repeat in bundle.repeats:
            texts = {_sort(finding.text): finding.text for finding in verdict.of_repeat(repeat)}
            for sort, text in texts.items():
                first.setdefault((repeat.result.cell, sort), text)
                counts.setdefault((repeat.result.cell, sort), [0, 0])[side] += 1
    found = [FindingChange(cell, first[cell, sort], *count) for (cell, sort), count in counts.items()]
    return tuple(sorted(found, key=lambda change: not change.is_new))


def _sort(text: str) -> str:
    """Give a finding's text without its numbers and without what stands in brackets: they make no other sort."""
    return _NUMBER.sub("#", _BRACKETS.sub("", text)).strip()

"""What the system did wrong in one run and not in the other; void attempts do not count."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from bundle.reading import Bundle, Repeat
from reports.answer import verdict
from reports.ratios.outcome import FindingChange
from stats import inference

_BRACKETS = re.compile(r"\s*\([^)]*\)")
_NUMBER = re.compile(r"-?\d[\d,.]*")
_OF_AN_OBJECTIVE = re.compile(r"^objective |\(objective: |in doubt: no answer")
"""What a busy system does sometimes; everything else, such as losing an event, must never happen."""


def changes(base: Bundle, new: Bundle) -> tuple[FindingChange, ...]:
    """Count, by cell, the valid repeats that have each sort of finding; regressions come first.

    One lost event is a regression if BASE has none. A missed objective is one if NEW misses it in a larger share of its
    repeats than chance explains: Fisher's exact test, with Holm's correction over all of these.
    """
    first: dict[tuple[str, str], str] = {}
    counts: dict[tuple[str, str], list[int]] = {}
    for side, bundle in enumerate((base, new)):
        for repeat in bundle.repeats:
            for text in _texts(repeat):
                key = repeat.result.cell, _sort(text)
                first.setdefault(key, text)
                counts.setdefault(key, [0, 0])[side] += 1
    repeats = {cell: (_valid(base, cell), _valid(new, cell)) for cell, _ in counts}
    shares = [key for key in counts if _OF_AN_OBJECTIVE.search(first[key]) and all(repeats[key[0]])]
    tested = dict(zip(shares, _tested([(counts[key], repeats[key[0]]) for key in shares]), strict=True))
    found = []
    for (cell, sort), (in_base, in_new) in counts.items():
        text, p = first[cell, sort], tested.get((cell, sort))
        alone = not _OF_AN_OBJECTIVE.search(text) and in_new > 0 and in_base == 0
        is_new = alone or (p is not None and p <= inference.FAMILY_LEVEL)
        found.append(FindingChange(cell, text, in_base, in_new, *repeats[cell], is_new, p))
    return tuple(sorted(found, key=lambda change: not change.is_new))


def _tested(counted: Sequence[tuple[Sequence[int], tuple[int, int]]]) -> list[float]:
    """Return the corrected p of each; ``counted``: how many of how many repeats have it, in BASE and in NEW."""
    if not counted:
        return []
    p = np.array([inference.exact_p((have[0], of[0]), (have[1], of[1])) for have, of in counted])
    return [float(each) for each in inference.holm(p, np.ones(len(p), dtype=np.bool_))]


def _texts(repeat: Repeat) -> list[str]:
    """Return one text for each sort of finding in a repeat; none for a void repeat."""
    if not repeat.result.valid:
        return []
    return list({_sort(finding.text): finding.text for finding in verdict.of_repeat(repeat)}.values())


def _valid(bundle: Bundle, cell: str) -> int:
    return sum(repeat.result.valid for repeat in bundle.of_cell(cell))


def _sort(text: str) -> str:
    """Return a finding's text without its numbers and without what stands in brackets: they make no other sort."""
    return _NUMBER.sub("#", _BRACKETS.sub("", text)).strip()

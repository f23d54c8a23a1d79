"""How the toy kind is shown: as a steady load, with a measure and a section of its own."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from bundle.result import Result
from reports.kinds.kind import Kind, LabelledResults, OwnMeasure, OwnSection


def worst_ms(result: Result) -> float | None:
    """How late the latest pulse was."""
    late_ms = [] if result.of_kind is UNSET else result.of_kind["pulses_late_ms"]
    return max(late_ms, default=None)


class Pulse(Kind):
    """A load that lasts, and pulses beside it."""

    name = "pulse"
    rank = 9
    question = "What was stored of a load with a pulse beside it?"
    own_measures = (OwnMeasure("pulse_late_ms", "latest pulse", "ms", more_is_better=False, of_repeat=worst_ms),)

    def own_section(self, cells: Sequence[LabelledResults]) -> OwnSection:
        rows = [(f"{each.label}, round {one.round}", f"{worst_ms(one):.1f}") for each in cells for one in each.results]
        return OwnSection("Pulses", ("How late the pulses were.",), ("cell", "latest pulse, ms"), tuple(rows))


KIND = Pulse()

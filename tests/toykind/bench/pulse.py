"""A toy kind: a steady load under another name, beside which a pulse is counted at stated seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from bench.cells.axes import EVERYWHERE, OFFERED_LOAD, THROUGH_HTTP, Axis
from bench.cells.cellspec import CellSpec
from bench.kinds.kind import SIZES_OF_A_LOAD, Action, JudgedEvidence, Kind, KindVerdict, Moment, Size
from bundle.result import Window

if TYPE_CHECKING:
    from bench.evidence.evidence import Evidence


class PulseCell(CellSpec, frozen=True):
    """``every_s``: the time between two pulses; ``pulses``: how many there are."""

    kind: str = "pulse"
    every_s: float = 1.0
    pulses: int = 2


class Pulse(Kind[PulseCell]):
    """A load that lasts, and pulses beside it."""

    name = "pulse"
    rank = 9
    cell = PulseCell
    axes = EVERYWHERE | THROUGH_HTTP | {OFFERED_LOAD}
    own_axes: Mapping[str, Axis] = {
        "pulses": Axis("pulses", Annotated[int, Meta(ge=1, le=10)], "a whole number, 1 to 10")
    }
    needed: Mapping[str, str] = {OFFERED_LOAD: "events/s"}
    sizes: Mapping[str, Size] = {
        **SIZES_OF_A_LOAD,
        "every_s": Size(Annotated[float, Meta(gt=0, le=60)], "seconds above 0, up to 60"),
    }

    def size_words(self, cell: PulseCell) -> str:
        return f"{super().size_words(cell)}, {cell.pulses} pulses"

    def beside(self, cell: PulseCell) -> Action:
        async def beat(moment: Moment) -> list[float]:
            """Return how late each pulse was, in ms."""
            late_ms = []
            for number in range(1, cell.pulses + 1):
                due_ns = moment.epoch_ns + round(number * cell.every_s * 1e9)
                await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
                late_ms.append((time.monotonic_ns() - due_ns) / 1e6)
            return late_ms

        return beat

    def window(self, cell: PulseCell, evidence: Evidence) -> Window:  # noqa: ARG002 - its schedule says it
        return Window(cell.warmup_s, cell.warmup_s + cell.duration_s)

    def verdict(self, cell: PulseCell, seen: JudgedEvidence) -> KindVerdict:
        late_ms: list[float] = seen.beside
        missing = [] if len(late_ms) == cell.pulses else [f"{cell.pulses - len(late_ms)} pulses are missing"]
        own: dict[str, Any] = {"pulses_late_ms": late_ms}
        return KindVerdict([*super().verdict(cell, seen).findings, *missing], of_kind=own)


KIND = Pulse()

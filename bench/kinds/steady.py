"""A steady cell: response time and delivery latency at an offered load that does not wait for the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cells.axes import EVERYWHERE, OFFERED_LOAD, THROUGH_HTTP
from bench.cells.cellspec import CellSpec
from bench.cells.objective import OfferedLoad
from bench.kinds.kind import Kind
from bundle.result import Window

if TYPE_CHECKING:  # it loads numpy, Arrow and client libraries, and `plan` needs none of them
    from bench.evidence.evidence import Evidence


class Steady(Kind[CellSpec]):
    """Open arrivals through HTTP for a stated time."""

    name = "steady"
    rank = 2
    cell = CellSpec
    axes = EVERYWHERE | THROUGH_HTTP | {OFFERED_LOAD}
    needed = {OFFERED_LOAD: "events/s, or { share_of_drain = 0.5, at_least = 1000 }"}  # noqa: RUF012 - read only

    def default(self) -> CellSpec:
        """Return a cell with nothing but defaults; half of what a drain reaches is offered."""
        return CellSpec(id="", kind=self.name, offered_load=OfferedLoad())

    def window(self, cell: CellSpec, evidence: Evidence) -> Window:  # noqa: ARG002 - its schedule says it
        """Return the window by the schedule."""
        return Window(cell.warmup_s, cell.warmup_s + cell.duration_s)


KIND = Steady()

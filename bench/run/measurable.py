"""Which cells can be measured of a system, by what it reports."""

from __future__ import annotations

from collections.abc import Iterable

from bench import kinds
from bench.cells.cellspec import CellSpec
from bench.targets.target import System
from bundle.reported import NOT_REPORTED
from pipeline.errors import UsageError


def expect(cells: Iterable[CellSpec], system: System) -> None:
    """Check that ``system`` reports what the answers of ``cells`` rest on.

    A drain's window and a search's verdict are of the moments at which events were stored. A steady cell has response
    times and, of a system that reports its documents, an audit without them.

    Raises:
        UsageError: it does not; names the system and the cells.
    """
    if "stamps" in system.reports:
        return
    without = [cell.id for cell in cells if kinds.named(cell.kind).rests_on_stamps]
    if without:
        raise UsageError(
            f"{system.name} cannot be measured in {', '.join(without)}: when each event was stored is {NOT_REPORTED}, "
            "and a drain's window and a search for capacity rest on it; use steady cells"
        )

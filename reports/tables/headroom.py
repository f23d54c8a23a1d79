"""What each cell used against its limits, and what the roles had left."""

from __future__ import annotations

from collections.abc import Sequence

from reports import formats, names
from reports.cells.bottleneck import Bottleneck
from reports.cells.cells import Cell
from reports.cells.saturation import MACHINE, LimitUse
from reports.tables import Table, table

_NAMED = 2


def headroom(cells: Sequence[Cell]) -> Table:
    """One row a cell, one column a role: the share unused, and of which limit where it is not that of CPU alone."""
    bounds = [(cell, cell.bottleneck) for cell in cells if cell.bottleneck and cell.bottleneck.headroom]
    roles = list(dict.fromkeys(one.role for _, bound in bounds for one in bound.headroom))
    rows = []
    for cell, bound in bounds:
        unused = {one.role: formats.share(one.unused) for one in bound.headroom}
        rows.append([cell.label_with_kind, *(unused.get(role, formats.NOTHING) for role in roles)])
    return table(["cell", *(_name(role) for role in roles)], rows)


def least(bound: Bottleneck | None) -> str:
    """Name the roles, other than the one that bounds the cell, that had least left: ``API 38%, worker 51%``."""
    if bound is None or not bound.headroom:
        return formats.NOTHING
    others = [one for one in bound.headroom if one.role not in (bound.role, MACHINE)]
    nearest = sorted(others, key=lambda one: one.unused)[:_NAMED]
    return ", ".join(f"{_name(one.role)} {one.unused:.0%}" for one in nearest) or formats.NOTHING


def evidence(cells: Sequence[Cell]) -> Table:
    """One row a cell, one column a limit: what was used of it, and in how many repeats it was reached, if in any."""
    by_key = [(cell, {one.key: one for one in cell.bottleneck.evidence}) for cell in cells if cell.bottleneck]
    heads = {one.key: one for _, found in by_key for one in found.values()}
    rows = [[cell.label_with_kind, *(_used(found.get(key)) for key in heads)] for cell, found in by_key]
    return table(["cell", *(_head(one) for one in heads.values())], rows)


def _head(one: LimitUse) -> str:
    return f"{one.what}, from {one.threshold:.0%} on" if one.threshold < 1 else one.what


def _used(one: LimitUse | None) -> str:
    if one is None:
        return formats.NOTHING
    reached = f" (reached in {one.reached_in} of {one.repeats})" if one.reached_in else ""
    return f"{formats.share(one.share)}{reached}"


def _name(role: str) -> str:
    return "the machine" if role == MACHINE else names.role(role)

"""What share of its ceiling each cell reached, what an event cost it, and the bound that this implies."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from bundle.ceilings import Ceilings
from bundle.manifest import CellPlan
from bundle.reading import Bundle
from reports.ceilings import bare
from reports.cells.cells import Cell


class Share(Struct, frozen=True, kw_only=True):
    """One cell against what is possible.

    ``ceiling_events_per_s``: of the part of its path that is slowest with nothing around it, ``part`` and ``loop`` name
    it; ``why_none`` says why there is none. ``bound_events_per_s``: where the costs use up all cores.
    """

    cell: str
    stored_events_per_s: float | None
    ceiling_events_per_s: float | None
    part: str
    loop: str
    share: float | None
    why_none: str
    cpu_s_per_100k_events: dict[str, float]
    whole_cpu_s_per_100k_events: float | None
    bound_events_per_s: float | None
    share_of_bound: float | None


class Least(Struct, frozen=True, kw_only=True):
    """What events cost at least, by the bare loops of a ``kind`` of path, and the bound that this implies."""

    kind: str
    cpu_s_per_100k_events: dict[str, float]
    whole_cpu_s_per_100k_events: float
    bound_events_per_s: float | None


class Account(Struct, frozen=True, kw_only=True):
    """All cells with their shares; ``least``: by kind of path, empty where the loops of a path were not measured."""

    cores: float
    shares: tuple[Share, ...]
    least: tuple[Least, ...]


def compute(bundle: Bundle, cells: Sequence[Cell]) -> Account:
    """Return the account of a run."""
    cores, found = bundle.manifest.hardware.cores, bundle.ceilings
    shares = tuple(_share(cell, found, cores) for cell in cells)
    return Account(cores=cores, shares=shares, least=_least(found, cells, cores) if found else ())


def ceiling(found: Ceilings | None, plan: CellPlan, cores: float) -> tuple[bare.PathPart | None, str]:
    """Return the slowest part of the path of a cell, or None and why there is none."""
    if found is None:
        return None, "not measured"
    why_none = bare.fits(found, plan)
    if why_none:
        return None, why_none
    parts = bare.parts(found, plan, cores)
    return (min(parts, key=lambda part: part.events_per_s), "") if parts else (None, "not measured")


def _share(cell: Cell, found: Ceilings | None, cores: float) -> Share:
    part, why_none = ceiling(found, cell.plan, cores)
    stored = cell.throughput.mean if cell.throughput else None
    cost = cell.cpu_s_per_100k_events()
    bound = bare.bound(cost, cores)
    return Share(
        cell=cell.plan.id,
        stored_events_per_s=stored,
        ceiling_events_per_s=part.events_per_s if part else None,
        part=part.name if part else "",
        loop=part.loop if part else "",
        share=stored / part.events_per_s if stored is not None and part else None,
        why_none=why_none,
        cpu_s_per_100k_events=cost,
        whole_cpu_s_per_100k_events=sum(cost.values()) if cost else None,
        bound_events_per_s=bound,
        share_of_bound=stored / bound if stored is not None and bound else None,
    )


def _least(found: Ceilings, cells: Sequence[Cell], cores: float) -> tuple[Least, ...]:
    """Return the least costs of the paths that the cells take: that of a drain, and that through HTTP."""
    least = []
    for path in dict.fromkeys(_path(cell) for cell in cells):
        cost = bare.costs(found, path)
        if cost:
            least.append(
                Least(
                    kind=path,
                    cpu_s_per_100k_events=cost,
                    whole_cpu_s_per_100k_events=sum(cost.values()),
                    bound_events_per_s=bare.bound(cost, cores),
                )
            )
    return tuple(least)


def _path(cell: Cell) -> str:
    """Name the path of a cell's events: the whole one, or that of its kind."""
    return bare.THROUGH_HTTP if cell.kind.whole_path else cell.plan.kind

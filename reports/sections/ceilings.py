"""How close each cell came to what the machine allows: its ceiling, what an event cost, and the bound in that."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.ceilings import Ceilings
from bundle.reading import Bundle
from reports import formats
from reports.ceilings import shares
from reports.ceilings.bare import THROUGH_HTTP
from reports.ceilings.shares import Account, Share
from reports.cells.cells import Cell
from reports.sections.section import Section, SectionPart
from reports.tables import ceilings as tables

_FEW = 12
_TITLE, _SHORT = "Ceilings and costs", "Ceilings"
_NOT_MEASURED = (
    "What the parts reach with nothing around them was not measured on this machine: ./tidemark bench ceilings does, "
    "and reports of the next day then show what share of it each cell reached."
)
_HOW = (
    "A cell's ceiling is what the slowest part of its path does with nothing around it. A steady cell stores what it "
    "is offered: its share says how much of the ceiling that was. The bound is where CPU-s per 100k events, as they "
    "were, would use up all cores: cores / sum of costs."
)
_HELD = (
    "Ratio: geometric mean of the pairs of each round, measured next to each other, with its one-sided 95% bounds. A "
    "target is met when the bound of at least 10 pairs clears it."
)
_OWN_SERVERS = "Kafka and MongoDB are the user's own: the costs and bounds leave out what they used."


def section(bundle: Bundle, cells: Sequence[Cell]) -> Section:
    """Say it in a few sentences, with one row a cell behind them."""
    account = shares.compute(bundle, cells)
    own = [_OWN_SERVERS] if bundle.manifest.servers not in ("", "local") else []
    found = bundle.ceilings
    words = [
        *(_measured(found, bundle) if found else [_NOT_MEASURED]),
        *_nearest(account, cells),
        *_least(account),
        _HOW,
    ]
    few = len(cells) <= _FEW
    every = f"of each of the {len(cells)} cells"
    parts = [
        SectionPart(words=(*words, *own)),
        SectionPart(table=tables.reached(account, cells), summary="" if few else f"Ceiling and bound {every}"),
        SectionPart(table=tables.costs(account, cells), summary="" if few else f"Where each CPU-second went, {every}"),
    ]
    if found and found.held:
        parts.append(SectionPart(words=(*_held(found), _HELD), table=tables.held(found)))
        parts.append(SectionPart(table=tables.pairs(found), summary="Every pair"))
    if found:
        what = "The bare loops and our parts" if found.parts else "The bare loops"
        parts.append(SectionPart(table=tables.loops(found), summary=f"{what}, with every repeat"))
    return Section("ceilings", _TITLE, _SHORT, tuple(parts))


def _held(found: Ceilings) -> list[str]:
    """Say how many of the targets were met."""
    verdicts = [each.verdict for each in found.held]
    limits = [
        f"{verdicts.count(verdict)} {verdict}" for verdict in ("met", "not met", "cannot tell") if verdict in verdicts
    ]
    targets = formats.plural(len(verdicts), "target")
    return [f"Our own parts, each alone beside the bare loop that it is held against: {targets}, {', '.join(limits)}."]


def _measured(found: Ceilings, bundle: Bundle) -> list[str]:
    """Say when and how the loops were measured, and whether the machine was quiet."""
    rounds = formats.plural(found.rounds, "round")
    words = [f"Bare loops, interleaved over {rounds}, measured at {formats.moment(found.measured_at)}."]
    void = sum(not each.valid for loop in (*found.loops, *found.parts) for each in loop.repeats)
    if void:
        words.append(f"{formats.plural(void, 'repeat')} void, as others used too much of the machine: in no figure.")
    limit = bundle.manifest.bounds.get("disturbed_share")
    if limit is not None and found.disturbance is not None and found.disturbance.total > limit:
        used = formats.share(found.disturbance.total)
        words.append(f"Caution: others used {used} of the machine meanwhile, so that ceilings are higher than this.")
    return words


def _nearest(account: Account, cells: Sequence[Cell]) -> list[str]:
    """Name the cells that came nearest to their ceiling: the drain, and the one through the whole path."""
    by_id = {cell.plan.id: cell for cell in cells}
    words = []
    for whole_path in (False, True):
        group = [each for each in account.shares if by_id[each.cell].kind.whole_path is whole_path and each.share]
        if not group:
            continue
        best = max(group, key=_of_ceiling)
        label = by_id[best.cell].label_with_kind
        ceiling = f"{formats.rounded(best.ceiling_events_per_s)} events/s ({best.part}, {best.loop})"
        words.append(f"Nearest came {label}: {formats.share(best.share)} of its ceiling of {ceiling}.")
    return words


def _of_ceiling(each: Share) -> float:
    return each.share or 0.0


def _least(account: Account) -> list[str]:
    """Say what the least costs come to."""
    return [
        f"By its bare loops, {least.kind if least.kind == THROUGH_HTTP else f'a {least.kind}'} costs at least "
        f"{formats.rounded(least.whole_cpu_s_per_100k_events)} CPU-s per 100k events: "
        f"on {formats.value(account.cores)} cores that allows {formats.rounded(least.bound_events_per_s)} events/s."
        for least in account.least
        if least.bound_events_per_s is not None
    ]

"""Each cell against what is possible, and the bare loops that say what is."""

from __future__ import annotations

from collections.abc import Sequence

from reports import formats, names
from reports.ceilings.schema import BareLoop, Ceilings
from reports.ceilings.shares import Account, Share
from reports.cells import ROLES, Cell
from reports.tables import Table, span, table

_LOOP_ROLES = ("client", "handler", "generator", "api", "worker", "kafka", "mongodb")


def account(told: Account, cells: Sequence[Cell]) -> Table:
    """One row a cell: what it stored of its ceiling, CPU-s per 100k events by role, and the bound that these imply.

    Below stand, stressed, the least costs: those of the bare loops.
    """
    costs = [each.cpu_s_per_100k_events for each in told.shares] + [each.cpu_s_per_100k_events for each in told.least]
    roles = sorted({role for cost in costs for role in cost}, key=_place)
    labels = {cell.plan.id: cell.label_with_kind for cell in cells}
    rows = [
        [labels[each.cell], *_reached(each), *_costs(each.cpu_s_per_100k_events, roles), *_implied(each)]
        for each in told.shares
    ]
    for least in told.least:
        bound = formats.rounded(least.bound_events_per_s)
        nothing = [formats.NOTHING] * 4
        whole = formats.rounded(least.whole_cpu_s_per_100k_events)
        row = [f"bare loops, {least.kind}", *nothing, *_costs(least.cpu_s_per_100k_events, roles), whole]
        rows.append([*row, bound, formats.NOTHING])
    heads = ["cell", "stored, events/s", "ceiling, events/s", "of its ceiling", "slowest part"]
    heads += [*(f"{names.role(role)}, CPU-s" for role in roles), "all, CPU-s", "bound, events/s", "of the bound"]
    stressed = range(len(told.shares), len(rows))
    return table(heads, rows, words=("slowest part",), marked=stressed)


def loops(found: Ceilings) -> Table:
    """One row a bare loop, and one a part of ours where they were measured, with every repeat."""
    every = (*found.loops, *found.parts)
    roles = [role for role in _LOOP_ROLES if any(role in loop.cpu_s_per_100k_events for loop in every)]
    rows = []
    for loop in every:
        told = [loop.cpu_s_per_100k_events.get(role) for role in roles]
        costs = [formats.rounded(cost.mean if cost else None) for cost in told]
        each = "; ".join(formats.rounded(repeat.events_per_s) for repeat in loop.repeats)
        rate = formats.rounded(loop.events_per_s.mean)
        rows.append([loop.name, loop.words, rate, span(loop.events_per_s), *costs, _service_time(loop), each])
    heads = ["bare loop", "what it does", "events/s", "95% t interval", *(f"{role}, CPU-s" for role in roles)]
    last = ["service time p99, ms", "each round, events/s"]
    return table([*heads, *last], rows, text=2, words=("each round, events/s",))


def held(found: Ceilings) -> Table:
    """One row a target: a part of ours, what it is held against, the ratio with its bounds, and every pair."""
    rows = []
    for each in found.held:
        limit = formats.rounded(each.pairs[0].against) if each.pairs else formats.NOTHING
        against = each.against or f"{limit} {each.quantity}"
        spare = f" + {formats.rounded(each.spare)}" if each.spare else ""
        wanted = f"{'≥' if each.side == 'at least' else '≤'} {formats.value(each.share)}"
        pairs = "; ".join(f"{formats.rounded(pair.value)} / {formats.rounded(pair.against)}" for pair in each.pairs)
        ratios = [_ratio(ratio) for ratio in (each.ratio, each.low, each.high)]
        rows.append([each.name, each.quantity, f"{each.part} / {against}{spare}", *ratios, wanted, each.verdict, pairs])
    heads = ["part", "quantity", "pair", "ratio", "lower bound", "upper bound", "wanted", "target", "every pair"]
    missed = [at for at, each in enumerate(found.held) if each.verdict == "not met"]
    return table(heads, rows, text=3, words=("wanted", "target", "every pair"), marked=missed)


def _ratio(ratio: float | None) -> str:
    return formats.NOTHING if ratio is None else f"{ratio:.3f}"


def _reached(each: Share) -> list[str]:
    slowest = f"{each.part} ({each.loop})" if each.part else each.why_none
    stored, ceiling = formats.rounded(each.stored_events_per_s), formats.rounded(each.ceiling_events_per_s)
    return [stored, ceiling, formats.share(each.share), slowest]


def _implied(each: Share) -> list[str]:
    return [
        formats.rounded(each.whole_cpu_s_per_100k_events),
        formats.rounded(each.bound_events_per_s),
        formats.share(each.share_of_bound),
    ]


def _costs(cost: dict[str, float], roles: Sequence[str]) -> list[str]:
    return [formats.rounded(cost.get(role)) for role in roles]


def _place(role: str) -> tuple[int, str]:
    return (ROLES.index(role) if role in ROLES else len(ROLES)), role


def _service_time(loop: BareLoop) -> str:
    """Give p99 of the rounds, lowest to highest: percentiles are not averaged."""
    told = [each.service_time_ms.p99 for each in loop.repeats if each.service_time_ms and each.service_time_ms.p99]
    if not told:
        return formats.NOTHING
    low, high = formats.milliseconds(min(told)), formats.milliseconds(max(told))
    return low if low == high else f"{low} to {high}"

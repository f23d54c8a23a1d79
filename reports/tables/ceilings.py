"""Each cell against what is possible, and the bare loops that say what is."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.ceilings import BareLoop, Ceilings, Held, LoopRepeat
from reports import formats, names
from reports.ceilings.shares import Account
from reports.cells.cells import ROLES, Cell
from reports.tables import Table, span, table

_LOOP_ROLES = ("client", "handler", "generator", "api", "worker", "kafka", "mongodb")


def reached(account: Account, cells: Sequence[Cell]) -> Table:
    """One row a cell: what it stored, of its ceiling and of the bound that its own costs imply."""
    labels = _labels(cells)
    rows = []
    for each in account.shares:
        slowest = f"{each.part} ({each.loop})" if each.part else each.why_none
        ceiling = [formats.rounded(each.ceiling_events_per_s), slowest, formats.share(each.share)]
        bound = [formats.rounded(each.bound_events_per_s), formats.share(each.share_of_bound)]
        rows.append([labels[each.cell], formats.rounded(each.stored_events_per_s), *ceiling, *bound])
    heads = ["cell", "stored, events/s", "ceiling, events/s", "of its slowest part", "reached"]
    return table(
        [*heads, "bound by costs, events/s", "reached"],
        rows,
        words=("of its slowest part",),
        caption="Each cell against its ceiling",
    )


def costs(account: Account, cells: Sequence[Cell]) -> Table:
    """One row a cell: CPU-s per 100k stored events by role; below, the least there are: those of the bare loops."""
    every = [each.cpu_s_per_100k_events for each in account.shares]
    every += [each.cpu_s_per_100k_events for each in account.least]
    roles = sorted({role for cost in every for role in cost}, key=_place)
    labels = _labels(cells)
    rows = [
        [
            labels[each.cell],
            *_costs(each.cpu_s_per_100k_events, roles),
            formats.rounded(each.whole_cpu_s_per_100k_events),
        ]
        for each in account.shares
    ]
    rows += [
        [
            f"bare loops, {least.kind}",
            *_costs(least.cpu_s_per_100k_events, roles),
            formats.rounded(least.whole_cpu_s_per_100k_events),
        ]
        for least in account.least
    ]
    heads = ["CPU-s per 100k events", *map(names.role, roles), "all"]
    return table(heads, rows, caption="What an event costs each role")


def _labels(cells: Sequence[Cell]) -> dict[str, str]:
    return {cell.plan.id: cell.label_with_kind for cell in cells}


def loops(found: Ceilings) -> Table:
    """One row a bare loop, and one a part of ours where they were measured, with every repeat."""
    every = (*found.loops, *found.parts)
    roles = [role for role in _LOOP_ROLES if any(role in loop.cpu_s_per_100k_events for loop in every)]
    rows = []
    for loop in every:
        of_roles = [loop.cpu_s_per_100k_events.get(role) for role in roles]
        costs = [formats.rounded(cost.mean if cost else None) for cost in of_roles]
        each = "; ".join(_rate(repeat) for repeat in loop.repeats)
        rate = formats.rounded(loop.events_per_s.mean)
        rows.append([loop.name, loop.words, rate, span(loop.events_per_s), *costs, _service_time(loop), each])
    heads = ["bare loop", "what it does", "events/s", "95% t interval", *(f"{role}, CPU-s" for role in roles)]
    last = ["service time p99, ms", "each round, events/s"]
    return table([*heads, *last], rows, text=2, words=("each round, events/s",))


def _rate(repeat: LoopRepeat) -> str:
    return formats.rounded(repeat.events_per_s) + ("" if repeat.valid else " (void)")


def held(found: Ceilings) -> Table:
    """One row a target: a part of ours, what it is held against, the ratio with its bounds, and the verdict."""
    rows = []
    for each in found.held:
        wanted = f"{'≥' if each.side == 'at least' else '≤'} {formats.value(each.share)}"
        ratios = [_ratio(ratio) for ratio in (each.ratio, each.low, each.high)]
        rows.append([each.name, f"{each.part} / {_against(each)}", *ratios, wanted, each.verdict])
    heads = ["part", "pair", "ratio", "lower bound", "upper bound", "wanted", "target"]
    missed = [at for at, each in enumerate(found.held) if each.verdict == "not met"]
    return table(heads, rows, text=2, words=("wanted", "target"), marked=missed, caption="Targets of the parts")


def pairs(found: Ceilings) -> Table:
    """One row a target, with every pair of its rounds."""
    rows = [
        [
            each.name,
            each.quantity,
            "; ".join(f"{formats.rounded(pair.value)} / {formats.rounded(pair.against)}" for pair in each.pairs),
        ]
        for each in found.held
    ]
    return table(["part", "quantity", "every pair"], rows, text=3)


def _against(each: Held) -> str:
    """Say what a part is held against: a loop, with what is spared, or a limit."""
    if each.against:
        return each.against + (f" + {formats.rounded(each.spare)}" if each.spare else "")
    limit = formats.rounded(each.pairs[0].against) if each.pairs else formats.NOTHING
    return f"{limit} {each.quantity}"


def _ratio(ratio: float | None) -> str:
    return formats.NOTHING if ratio is None else f"{ratio:.3f}"


def _costs(cost: dict[str, float], roles: Sequence[str]) -> list[str]:
    return [formats.rounded(cost.get(role)) for role in roles]


def _place(role: str) -> tuple[int, str]:
    return (ROLES.index(role) if role in ROLES else len(ROLES)), role


def _service_time(loop: BareLoop) -> str:
    """Return p99 of the rounds, lowest to highest: percentiles are not averaged."""
    valid = [each for each in loop.repeats if each.valid]
    p99_ms = [each.service_time_ms.p99 for each in valid if each.service_time_ms and each.service_time_ms.p99]
    if not p99_ms:
        return formats.NOTHING
    low, high = formats.milliseconds(min(p99_ms)), formats.milliseconds(max(p99_ms))
    return low if low == high else f"{low} to {high}"

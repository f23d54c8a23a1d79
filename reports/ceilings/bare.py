"""What the bare loops say together: how fast each part of the path can be, and what an event costs each role at least.

The rules are those of docs/performance.md ("Ceilings").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bundle.ceilings import BareLoop, Ceilings
from bundle.manifest import CellPlan
from reports import kinds

THROUGH_HTTP = "the whole path"
PER = 100_000
_CONDITIONS = ("payload_bytes", "write_concern", "acks", "compression")
"""Axes that a ceiling depends on: it is none for a cell that differs in one of them."""


class PathPart(NamedTuple):
    """One part of the path: which it is, the bare loop that it rests on, and the events/s that it can do."""

    name: str
    loop: str
    events_per_s: float


def fits(found: Ceilings, plan: CellPlan) -> str:
    """Say why the ceilings are none for a cell; nothing where they are."""
    for name in _CONDITIONS:
        measured, given = getattr(found.conditions, name), plan.axes.get(name)
        if given is not None and given != measured:
            return f"measured with {name} {measured}"
    return ""


def parts(found: Ceilings, plan: CellPlan, cores: float) -> tuple[PathPart, ...]:
    """Return each part of the path of a cell of this plan that was measured, in the order of the path.

    What runs in several processes is so many times as fast, as far as there are cores for them.
    """
    whole = kinds.named(plan.kind).whole_path
    apis = _processes(plan, "api_processes", cores)
    through_http = [
        _times(_part(found, "generator", "generator"), _processes(plan, "generator_processes", cores)),
        _times(_handler(found, _single(found, plan)), apis),
        _times(_part(found, "produce", "produce-pooled-"), apis),
    ]
    after = [
        _times(_part(found, "consume", "consume-decoded"), _processes(plan, "consumers", cores)),
        _part(found, "insert", "insert-"),
    ]
    return tuple(part for part in [*(through_http if whole else ()), *after] if part is not None)


def costs(found: Ceilings, path: str) -> dict[str, float]:
    """Return what 100,000 events cost each role at least (CPU-s), over the loops that a path is made of.

    Of loops that differ in their connections, the fastest counts. Empty where a loop of the path was not measured.
    """
    loops = [(_fastest(found, "consume-decoded"), {"client": "worker", "kafka": "kafka"})]
    loops.append((_fastest(found, "insert-"), {"client": "worker", "mongodb": "mongodb"}))
    summed: dict[str, float] = {}
    if path == THROUGH_HTTP:
        loops.append((_fastest(found, "generator"), {"generator": "generator"}))
        loops.append((_fastest(found, "produce-pooled-"), {"client": "api", "kafka": "kafka"}))
        handler = _handler_cost(found)
        if handler is None:
            return {}
        summed["api"] = handler
    for loop, roles in loops:
        if loop is None:
            return {}
        for key, role in roles.items():
            if key in loop.cpu_s_per_100k_events:
                summed[role] = summed.get(role, 0.0) + loop.cpu_s_per_100k_events[key].mean
    return summed


def bound(cost: Mapping[str, float], cores: float) -> float | None:
    """Return the events/s at which ``cores`` are used up by CPU-s per 100k events; None where nothing is known."""
    whole = sum(cost.values())
    return cores / whole * PER if whole > 0 and cores else None


def _fastest(found: Ceilings, prefix: str) -> BareLoop | None:
    loops = [loop for loop in found.loops if loop.name.startswith(prefix)]
    return max(loops, key=lambda loop: loop.events_per_s.mean, default=None)


def _times(part: PathPart | None, processes: float) -> PathPart | None:
    return part._replace(events_per_s=part.events_per_s * processes) if part else None


def _processes(plan: CellPlan, axis: str, cores: float) -> float:
    """Return how many processes work at a time: those of the cell, but no more than there are cores."""
    number = float(plan.axes.get(axis) or 1)
    return min(number, max(cores, 1.0)) if cores else number


def _part(found: Ceilings, name: str, loops: str) -> PathPart | None:
    """Return the part ``name``, from the fastest of the loops whose names begin with ``loops``."""
    loop = _fastest(found, loops)
    return PathPart(name, loop.name, loop.events_per_s.mean) if loop else None


def _single(found: Ceilings, plan: CellPlan) -> float:
    """Return the share of events that come one a request in a cell."""
    share = plan.axes.get("visitor_share")
    return found.conditions.visitor_share if share is None else float(share)


def _handler(found: Ceilings, share: float) -> PathPart | None:
    """Mix single events and batches as the traffic does: the time for an event is the mean of both times."""
    both = _handlers(found)
    if both is None:
        return None
    single, batches = both
    rate = 1 / (share / single.events_per_s.mean + (1 - share) / batches.events_per_s.mean)
    return PathPart("HTTP", f"{batches.name} and {share:.0%} {single.name}", rate)


def _handler_cost(found: Ceilings) -> float | None:
    both = _handlers(found)
    if both is None or any("handler" not in loop.cpu_s_per_100k_events for loop in both):
        return None
    single, batches = (loop.cpu_s_per_100k_events["handler"].mean for loop in both)
    share = found.conditions.visitor_share
    return share * single + (1 - share) * batches


def _handlers(found: Ceilings) -> tuple[BareLoop, BareLoop] | None:
    single, batches = _fastest(found, "handler-single-"), _fastest(found, "handler-batches-")
    return (single, batches) if single and batches else None

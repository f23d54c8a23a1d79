"""What came of a repeat or a search, in a line."""

from __future__ import annotations

from bundle.capacity import CapacityAnswer
from bundle.result import Disturbance, Result

_WORTH_NAMING = 0.03  # of the machine's CPU


def outcome(result: Result) -> str:
    """Return the result of a repeat in a few words."""
    if not result.valid:
        return "void"
    parts = []
    if result.probe is not None:
        parts.append(f"{result.probe.verdict} at {result.offered_load_events_per_s or 0.0:,.0f}/s")
    if result.throughput_events_per_s is not None:
        parts.append(f"{result.throughput_events_per_s:,.0f} events/s")
    latency = result.delivery_latency_ms
    if latency is not None and latency.p99 is not None:
        parts.append(f"delivery latency p99 {latency.p99:,.1f} ms")
    number = len(result.findings)
    parts.append(f"{number} finding{'s' if number > 1 else ''}" if number else "nothing lost")
    return ", ".join(parts)


def answer(capacity: CapacityAnswer) -> str:
    """Return the answer of a search in one line."""
    if capacity.sustainable_events_per_s is None:
        return f"{capacity.cell}: no offered load was found sustained: {capacity.ended}"
    low, high = capacity.low_events_per_s, capacity.high_events_per_s
    interval = f"{low:,.0f} to {high:,.0f}" if low is not None and high is not None else "not bounded on both sides"
    return (
        f"{capacity.cell}: {capacity.sustainable_events_per_s:,.0f} events/s sustained with {capacity.objective} "
        f"({capacity.confidence:.0%} interval of the limit: {interval}); {capacity.ended}"
    )


def culprits(found: Disturbance) -> str:
    """Name the programs that used the machine, each with its share of the CPU; empty if there were none."""
    named = [f"{each.name} {each.share:.0%}" for each in found.programs]
    others = found.other_programs - sum(each.share for each in found.programs)
    if others >= _WORTH_NAMING:
        who = "others" if named else "programs that cannot be seen from here"
        named.append(f"{who} {others:.0%}")
    if found.stolen >= _WORTH_NAMING:
        named.append(f"the host of this virtual machine {found.stolen:.0%}")
    return ", ".join(named)

"""The last words of a run: what came out and what was found, in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.result import Capacity, Result
from bench.words import answer

MOST_FINDINGS = 10


def closing(
    results: Iterable[Result], capacities: Iterable[Capacity], findings: Sequence[str], void: int
) -> Iterator[str]:
    """Give the lines to print at the end of a run.

    ``results``: one of each repeat, the attempt that counts. ``capacities``: what the searches came to.
    ``findings``: of all attempts, in words. ``void``: how many attempts were void, replaced ones included.
    """
    results = [result for result in results if result.valid]
    yield from (answer(capacity) for capacity in capacities)
    yield from _fastest_drain(results)
    yield from _slowest_delivery(results)
    accepted = sum(result.audit.accepted for result in results)
    stored = sum(result.audit.stored_accepted for result in results)
    if results:
        yield f"audit: {accepted:,} events accepted, {stored:,} of them stored, in {len(results)} valid repeats"
    if void:
        yield f"{void} attempt{'s' if void > 1 else ''} void: the measurement was not sound, for the reasons told above"
    if not findings:
        yield "no findings" if results else "nothing was measured: no repeat is valid"
        return
    yield f"FINDINGS: {len(findings)}"
    for finding in findings[:MOST_FINDINGS]:
        yield f"  {finding}"
    if len(findings) > MOST_FINDINGS:
        yield f"  and {len(findings) - MOST_FINDINGS} more, in the report"


def _fastest_drain(results: Sequence[Result]) -> Iterator[str]:
    """The drain cell whose slowest repeat is the best: a single lucky repeat does not make a winner."""
    by_cell: dict[str, list[float]] = {}
    for result in results:
        if result.kind == "drain" and result.throughput_events_per_s is not None:
            by_cell.setdefault(result.cell, []).append(result.throughput_events_per_s)
    if by_cell:
        name, rates = max(by_cell.items(), key=lambda item: min(item[1]))
        yield f"drained fastest: {name} with {_span(rates)} events/s"


def _slowest_delivery(results: Sequence[Result]) -> Iterator[str]:
    """Where delivery latency was highest; percentiles are shown as they are, never averaged."""
    highest: tuple[float, Result] | None = None
    for result in results:
        latency = result.delivery_latency_ms if result.probe is None else None  # a probe may be meant to be too much
        if latency is not None and latency.p99 is not None and (highest is None or latency.p99 > highest[0]):
            highest = latency.p99, result
    if highest is not None:
        p99_ms, result = highest
        offered = f" at {result.offered_load_events_per_s:,.0f} events/s" if result.offered_load_events_per_s else ""
        yield f"highest delivery latency: p99 {p99_ms:,.1f} ms, in {result.cell}{offered}, round {result.round}"


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):,.0f}", f"{max(values):,.0f}"
    return low if low == high else f"{low} to {high}"

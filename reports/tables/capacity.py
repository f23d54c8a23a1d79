"""The answers of the searches of capacity cells, and the probes that they rest on."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.reading import Repeat
from reports import formats
from reports.answer import searches
from reports.answer.breaking import Broke
from reports.cells.cells import Cell
from reports.tables import Table, round_of, table

_PROBE_PERCENTILES = ("p50", "p95", "p99")


def searched(cells: Sequence[Cell]) -> Table:
    """One row for each capacity cell: knee, probes, objective and end; the answers are in the report's first table."""
    rows = []
    for cell in cells:
        found = cell.capacity
        rows.append(
            [
                cell.label,
                formats.rounded(found.knee_events_per_s if found else None),
                f"{len(cell.valid)} of {len(cell.attempts)}",
                searches.confirmed(found),
                searches.objective(found) or formats.NOTHING,
                searches.ended(found),
            ]
        )
    heads = ["partitions × consumers", "knee, events/s", "valid probes"]
    words = ["confirmed", "objective", "how the search ended"]
    return table([*heads, *words], rows, words=words, caption="The searches")


def broken(found: Sequence[tuple[Cell, Broke]]) -> Table:
    """One row for each capacity cell: what broke first above its answer, and the evidence."""
    rows = [[cell.label, broke.short, broke.because] for cell, broke in found]
    return table(["partitions × consumers", "what breaks first", "evidence"], rows, text=3)


def probes(cell: Cell) -> Table:
    """One row a probe in the order they were made; void ones are marked."""
    rows, marked = [], []
    for index, repeat in enumerate(cell.attempts):
        result, probe = repeat.result, repeat.result.probe
        if not result.valid:
            marked.append(index)
        why = [*(() if result.valid else result.reasons), *(probe.why if probe else ())]
        rows.append(
            [
                round_of(result),
                probe.step if probe else formats.NOTHING,
                formats.count(result.offered_load_events_per_s),
                searches.verdict(repeat),
                *(formats.milliseconds(value) for value in _percentiles(repeat)),
                formats.rounded(probe.deficit_events_per_s if probe else None),
                formats.rounded(probe.deficit_bound_events_per_s if probe else None),
                formats.rounded(probe.allowed_events_per_s if probe else None),
                _how_long(repeat),
                "; ".join(why) or formats.NOTHING,
            ]
        )
    heads = ["probe", "step", "offered load, events/s", "verdict", "delivery latency p50, ms"]
    heads += ["p95, ms", "p99, ms", "accepted − stored, events/s", "its upper bound", "allowed", "length", "why"]
    return table(heads, rows, text=2, words=["verdict", "length", "why"], marked=marked)


def _percentiles(repeat: Repeat) -> list[float | None]:
    measured = repeat.result.delivery_latency_ms
    return [getattr(measured, name, None) for name in _PROBE_PERCENTILES]


def _how_long(repeat: Repeat) -> str:
    """The length of the window, and whether the probe was stopped early or extended."""
    window, probe = repeat.result.window, repeat.result.probe
    parts = [f"{formats.rounded(window.end_s - window.start_s)} s"] if window else []
    if probe and probe.stopped_early:
        parts.append("stopped early")
    if probe and probe.extended_s:
        parts.append(f"extended by {formats.rounded(probe.extended_s)} s")
    return ", ".join(parts) or formats.NOTHING

"""Delivery latency and response time as percentiles, and the stages that delivery latency is the sum of."""

from __future__ import annotations

from collections.abc import Sequence

from reports.cells import reported
from reports.cells.cells import Cell
from reports.figures import bars, percentiles, waterfall
from reports.sections.section import Section, SectionPart
from reports.tables import measured

_DURATIONS = ("durations", "Delivery latency and response time", "Delivery latency, response time")
_WHAT_IS_TIMED = (
    "Delivery latency runs from the intended send to the acknowledged write, response time from the intended send to "
    "the response: a request that goes out late counts from when it was due."
)
_NOT_LOADED = "This run has no cell with a load through HTTP, so there is nothing to show here."
_NO_VALID = "No cell with a load has a valid repeat at a load that it held, so there is nothing to show here."
_NO_LOGS = "The histograms (latency.hlog) of this run are missing, so there is nothing to show here."
_THE_STAGES = (
    "Schedule delay: intended to sent. HTTP and API: sent to Kafka's record timestamp. Kafka and backlog: until the "
    "worker fetched. Write: until MongoDB acknowledged. They add up to the delivery latency, event by event: in the "
    "waterfalls each bar starts where the one before ends, and the last is their sum."
)
_AT_ANSWERS = "Capacity cells: the probes at the load of the answer, pooled."


def section(cells: Sequence[Cell]) -> Section:
    """Percentile curves of delivery latency and response time, and the same as tables."""
    timed = [cell for cell in cells if cell.pooled]
    if not timed:
        return Section(*_DURATIONS, (SectionPart(words=(_nothing(cells),)),))
    # Those of a capacity cell were measured at its answer: near the objective, and off the scale of the others.
    curves = [cell for cell in timed if not cell.kind.searched] or timed
    words = (_WHAT_IS_TIMED, percentiles.gate_sentence(curves), *_unreported(timed, "Delivery latency"))
    figures = (*percentiles.panels(curves, "delivery_latency"), *percentiles.panels(curves, "response_time"))
    at_answers = _AT_ANSWERS if any(cell.kind.searched for cell in timed) else ""
    service = measured.percentiles(timed, "service_time")
    parts = (
        SectionPart(words=words, figures=figures),
        SectionPart(words=(at_answers,), table=measured.durations(timed)),
        SectionPart(table=service, summary="Service time, from the actual send: it hides what a late send adds"),
    )
    return Section(*_DURATIONS, parts)


def _unreported(cells: Sequence[Cell], what: str) -> list[str]:
    """Say of which cells ``what`` is not there, for the system reports no stamps."""
    lacking = [cell for cell in cells if reported.lacks([each.result for each in cell.attempts], "stamps")]
    if not lacking:
        return []
    of = "" if len(lacking) == len(cells) else f" of {', '.join(cell.label_with_kind for cell in lacking)}"
    return [f"{what}{of}: {reported.NOT_REPORTED}."]


def _nothing(cells: Sequence[Cell]) -> str:
    """Say why there are no durations: no load, no valid repeat, or no file."""
    loaded = [cell for cell in cells if cell.kind.whole_path]
    if not loaded:
        return _NOT_LOADED
    return _NO_LOGS if any(cell.counted for cell in loaded) else _NO_VALID


def stages(cells: Sequence[Cell]) -> Section:
    """Where delivery latency is spent, in the mean and around its p99, kind by kind."""
    having = [cell for cell in cells if cell.stages_ms]
    groups: dict[str, list[Cell]] = {}
    for cell in having:
        groups.setdefault(cell.plan.kind, []).append(cell)
    unreported = _unreported(cells, "Stages of delivery latency")
    parts = [SectionPart(words=(*([_THE_STAGES] if having else [] if unreported else [_nothing(cells)]), *unreported))]
    for group in groups.values():
        parts += _waterfalls(group, group[0].kind.heading if len(groups) > 1 else "")
    return Section("stages", "The four stages of delivery latency", "Stages", tuple(parts))


def _waterfalls(cells: Sequence[Cell], heading: str) -> list[SectionPart]:
    """Draw the waterfalls, behind stacked bars where there are many."""
    falls = tuple(waterfall.panels(cells))
    if len(cells) <= waterfall.MOST_CELLS:
        return [SectionPart(heading, figures=falls)]
    summary = f"Waterfalls of all {len(cells)} cells: each bar starts where the one before ends"
    return [SectionPart(heading, figures=tuple(bars.stages(cells))), SectionPart(figures=falls, summary=summary)]

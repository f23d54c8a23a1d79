"""Delivery latency and response time as percentiles, and the stages that delivery latency is the sum of."""

from __future__ import annotations

from collections.abc import Sequence

from reports.cells import Cell
from reports.figures import bars, percentiles, waterfall
from reports.sections.parts import Part, Section
from reports.tables import measured

_DURATIONS = ("durations", "Delivery latency and response time", "Delivery latency, response time")
_WHAT_IS_TIMED = (
    "Delivery latency runs from the intended send to the acknowledged write, response time from the intended send to "
    "the response: a request that goes out late counts from when it was due."
)
_NO_STEADY = "No steady cell has a valid repeat in this run, so there is nothing to show here."
_THE_STAGES = (
    "Schedule delay: intended to sent. HTTP and API: sent to Kafka's record timestamp. Kafka and backlog: until "
    "the worker fetched. Write: until MongoDB acknowledged. They add up to the delivery latency, event by event."
)


def section(cells: Sequence[Cell]) -> Section:
    """Percentile curves of delivery latency and response time, and the same as tables."""
    timed = [cell for cell in cells if cell.pooled]
    if not timed:
        return Section(*_DURATIONS, (Part(words=(_NO_STEADY,)),))
    words = (_WHAT_IS_TIMED, percentiles.gate_sentence(timed))
    figures = (*percentiles.panels(timed, "delivery_latency"), *percentiles.panels(timed, "response_time"))
    service = measured.percentiles(timed, "service_time")
    parts = (
        Part(words=words, figures=figures),
        Part(table=measured.durations(timed)),
        Part(table=service, summary="Service time, from the actual send: it hides what a late send adds"),
    )
    return Section(*_DURATIONS, parts)


def stages(cells: Sequence[Cell]) -> Section:
    """Where delivery latency is spent, in the mean and around its p99: waterfalls, under stacked bars if many."""
    having = [cell for cell in cells if cell.stages_ms]
    falls = tuple(waterfall.panels(having))
    if len(having) <= waterfall.MOST_CELLS:
        parts = [Part(words=(_THE_STAGES if having else _NO_STEADY,), figures=falls)]
    else:
        summary = f"Waterfalls of all {len(having)} cells: each bar starts where the one before ends"
        parts = [Part(words=(_THE_STAGES,), figures=tuple(bars.stages(having))), Part(figures=falls, summary=summary)]
    return Section("stages", "The four stages of delivery latency", "Stages", tuple(parts))

"""A search for capacity as part of a run: which probe comes next, and what the search came to, from its results.

The search itself (:mod:`bench.search`) knows loads and verdicts only. Here its probes are a cell's repeats: the round
of a repeat is the number of its probe, and a probe that was void as often as allowed is void to the search.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from msgspec import Struct

from bench import search
from bench.cellspec import CellSpec, Objective
from bench.knee import Point, knee
from bench.result import Capacity, Result, is_finished
from bench.search import Answer, ProbeOutcome, SearchSettings


class NextProbe(Struct, frozen=True):
    """The probe to run next: its ``number`` counts from 1, ``step`` says what for."""

    number: int
    load_events_per_s: float
    step: search.Step


def next_step(cell: CellSpec, start_load_events_per_s: float, results: Iterable[Result]) -> NextProbe | Answer:
    """Say what comes next, given every attempt at every probe of ``cell`` so far."""
    settings = SearchSettings(start_events_per_s=start_load_events_per_s, max_probes=cell.max_probes)
    probes = _by_number(results)
    for number, attempts in probes.items():
        if not is_finished(attempts):  # void, and to be tried again
            last = attempts[-1]
            return NextProbe(number, last.offered_load_events_per_s or 0.0, _step_of(last))
    step = search.next_step(settings, [_outcome(attempts) for attempts in probes.values()])
    if isinstance(step, Answer):
        return step
    return NextProbe(len(probes) + 1, step.load_events_per_s, step.step)


def conclude(cell: CellSpec, objective: Objective, answer: Answer, results: Iterable[Result]) -> Capacity:
    """Put what the search came to into the bundle's words."""
    return Capacity(
        cell=cell.id,
        objective=objective.words(),
        sustainable_events_per_s=answer.sustainable_events_per_s,
        low_events_per_s=answer.low_events_per_s,
        high_events_per_s=answer.high_events_per_s,
        confidence=answer.confidence,
        confirmed=answer.confirmed,
        ended=answer.ended,
        knee_events_per_s=knee(_point(result) for result in results if result.valid),
    )


def _point(result: Result) -> Point:
    latency = result.delivery_latency_ms
    load = result.offered_load_events_per_s or 0.0
    return Point(load, latency.p50 if latency else None, latency.p99 if latency else None)


def _by_number(results: Iterable[Result]) -> dict[int, list[Result]]:
    """Sort the attempts by the probe's number, first to last."""
    probes: dict[int, list[Result]] = {}
    for result in sorted(results, key=lambda each: (each.round, each.attempt)):
        probes.setdefault(result.round, []).append(result)
    return probes


def _outcome(attempts: Sequence[Result]) -> ProbeOutcome:
    """Say what a probe came to: by the attempt that is valid, if there is one."""
    last = next((each for each in attempts if each.valid), attempts[-1])
    load = last.offered_load_events_per_s or 0.0
    if last.probe is None or not last.valid:
        return ProbeOutcome(load, "void", holds=False, step=_step_of(last))
    return ProbeOutcome(load, cast("search.Verdict", last.probe.verdict), last.probe.holds, _step_of(last))


def _step_of(result: Result) -> search.Step:
    return cast("search.Step", result.probe.step if result.probe else "climb")

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

# How the reasons begin (bench/soundness.py): what the generator, and what the rest of the machine, made unsound.
_GENERATOR, _LATE, _MACHINE, _UNDRAINED = "generator: ", "generator: schedule delay", "machine: ", "drain: "
_FAR_BEYOND = 2.0  # times what is allowed


class NextProbe(Struct, frozen=True):
    """The probe to run next: its ``number`` counts from 1, ``step`` says what for."""

    number: int
    load_events_per_s: float
    step: search.Step


def next_step(cell: CellSpec, start_load_events_per_s: float, results: Iterable[Result]) -> NextProbe | Answer:
    """Say what comes next, given every attempt at every probe of ``cell`` so far.

    A probe that was void for what the load has no part in, such as a busy machine, says nothing: it is left out, so
    that its load comes again, but it counts among the most that there may be.
    """
    probes = _by_number(results)
    for number, attempts in probes.items():
        if not _is_settled(attempts):  # void, and to be tried again
            last = attempts[-1]
            return NextProbe(number, last.offered_load_events_per_s or 0.0, _step_of(last))
    outcomes = [_outcome(attempts) for attempts in probes.values()]
    told = [outcome for outcome in outcomes if outcome is not None]
    left = max(0, cell.max_probes - len(outcomes))
    if not told and not left:
        return Answer(
            None,
            None,
            None,
            SearchSettings(1.0).confidence,
            confirmed=False,
            ended="not determined: no probe could be measured",
        )
    settings = SearchSettings(start_events_per_s=start_load_events_per_s, max_probes=len(told) + left)
    step = search.next_step(settings, told)
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


def _is_settled(attempts: Sequence[Result]) -> bool:
    """Say whether a probe needs no further attempt: also a void one may show that the load is too much."""
    return is_finished(attempts) or any(_is_too_much(each) for each in attempts)


def _is_too_much(result: Result) -> bool:
    """Say whether a void attempt shows all the same that its load was not sustained.

    A generator that sends late offers less, if anything: a system that refuses events then, or piles up far more of
    them than it may, does not hold the load. (Delivery latency says nothing: it counts from the intended send.) One
    that cannot store what it took within the drain time-out does not either.
    """
    probe = result.probe
    if probe is None or not all(each.startswith((_LATE, _UNDRAINED)) for each in result.reasons):
        return False
    if any(each.startswith(_UNDRAINED) for each in result.reasons):
        return True
    return result.audit.rejected > 0 or probe.deficit_events_per_s > _FAR_BEYOND * probe.allowed_events_per_s


def _outcome(attempts: Sequence[Result]) -> ProbeOutcome | None:
    """Say what a probe came to, by the attempt that is valid, if there is one; None if it says nothing of its load."""
    last = next((each for each in attempts if each.valid), attempts[-1])
    load = last.offered_load_events_per_s or 0.0
    if last.probe is not None and last.valid:
        return ProbeOutcome(load, cast("search.Verdict", last.probe.verdict), last.probe.holds, _step_of(last))
    if any(_is_too_much(each) for each in attempts):
        return ProbeOutcome(load, "not sustained", holds=False, step=_step_of(last))
    late = all(any(reason.startswith(_GENERATOR) for reason in each.reasons) for each in attempts)
    disturbed = any(reason.startswith(_MACHINE) for each in attempts for reason in each.reasons)
    return ProbeOutcome(load, "void", holds=False, step=_step_of(last)) if late and not disturbed else None


def _step_of(result: Result) -> search.Step:
    return cast("search.Step", result.probe.step if result.probe else "climb")

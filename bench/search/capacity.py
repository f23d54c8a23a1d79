"""A search for capacity as part of a run: which probe comes next, and its answer, from its results.

The search itself (:mod:`bench.search.search`) knows loads and verdicts only. Here its probes are a cell's repeats: the
round of a repeat is the number of its probe, and a probe that was void as often as allowed is void to the search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import cast

from msgspec import Struct

from bench.attempts import is_finished
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.kinds.capacity import CapacityCell
from bench.search import search
from bench.search.knee import KneePoint, knee
from bench.search.search import ProbeOutcome, SearchAnswer, SearchSettings
from bundle.capacity import CapacityAnswer
from bundle.result import Result

# How the reasons begin (bench/judge/validity.py): what the generator, and what the rest of the machine, made unsound.
_GENERATOR, _LATE, _MACHINE, _UNDRAINED = "generator: ", "generator: schedule delay", "machine: ", "drain: "
_FAR_BEYOND = 2.0  # times what is allowed
_ONE_CORE_ROLES = ("api", "worker", "generator")
_WORTH_A_HINT = 0.2  # of the CPU: an idle system says nothing about its limit


class NextProbe(Struct, frozen=True):
    """The probe to run next: its ``number`` counts from 1, ``step`` says what for."""

    number: int
    load_events_per_s: float
    step: search.Step


class SearchRequest(Struct, frozen=True):
    """A search: its cell, the load of its first probe (events/s), and the cores of the machine that it runs on."""

    cell: CapacityCell
    start_load_events_per_s: float
    cores: int = 1


def next_step(asked: SearchRequest, results: Iterable[Result]) -> NextProbe | SearchAnswer:
    """Say what comes next, given every attempt at every probe of the cell so far.

    A probe that was void for what the load has no part in, such as a busy machine, says nothing: it is left out, so
    that its load comes again, but it counts among the most that there may be.
    """
    probes = _by_number(results)
    for number, attempts in probes.items():
        if not _is_settled(attempts):  # void, and to be tried again
            last = attempts[-1]
            return NextProbe(number, last.offered_load_events_per_s or 0.0, _step_of(last))
    outcomes = _outcomes(asked, probes)
    left = max(0, asked.cell.max_probes - len(probes))
    if not outcomes and not left:
        return _nothing("no probe could be measured")
    step = search.next_step(_settings(asked, len(outcomes) + left), outcomes)
    if isinstance(step, SearchAnswer):
        return step
    return NextProbe(len(probes) + 1, step.load_events_per_s, step.step)


def cut_short(asked: SearchRequest, results: Iterable[Result], why: str) -> SearchAnswer:
    """Return the answer that the probes so far allow, if there is no time for more."""
    outcomes = _outcomes(asked, _by_number(results))
    return search.answer(_settings(asked, len(outcomes)), outcomes, why) if outcomes else _nothing(why)


def seeming_limit(asked: SearchRequest, results: Iterable[Result]) -> float | None:
    """Return where the limit seems to be (events/s), by the probe closest to it; None if no probe shows it.

    That is the throughput of the lowest load that was not sustained or, without one, the highest sustained load.
    """
    outcomes = _outcomes(asked, _by_number(results))
    missed = [each for each in outcomes if each.verdict == "not sustained" and each.hint_events_per_s]
    if missed:
        return min(missed, key=lambda each: each.load_events_per_s).hint_events_per_s
    return max((each.load_events_per_s for each in outcomes if each.verdict == "sustained"), default=None)


def _settings(asked: SearchRequest, max_probes: int) -> SearchSettings:
    return SearchSettings(
        start_events_per_s=asked.start_load_events_per_s,
        resolution=asked.cell.resolution,
        confirmations=asked.cell.confirmations,
        max_probes=max(1, max_probes),
    )


def _nothing(why: str) -> SearchAnswer:
    confidence = SearchSettings(1.0).confidence
    return SearchAnswer(None, None, None, confidence, confirmed=False, ended=f"not determined: {why}")


def _outcomes(asked: SearchRequest, probes: Mapping[int, Sequence[Result]]) -> list[ProbeOutcome]:
    """Return the outcomes of the probes, without those that say nothing about their load."""
    found = (_outcome(attempts, asked.cores) for attempts in probes.values())
    return [outcome for outcome in found if outcome is not None]


def conclude(cell: CellSpec, objective: Objective, answer: SearchAnswer, results: Iterable[Result]) -> CapacityAnswer:
    """Return the answer of the search in the bundle's fields."""
    return CapacityAnswer(
        cell=cell.id,
        objective=objective.words(),
        sustainable_events_per_s=answer.sustainable_events_per_s,
        low_events_per_s=answer.low_events_per_s,
        high_events_per_s=answer.high_events_per_s,
        confidence=answer.confidence,
        confirmed=answer.confirmed,
        ended=answer.ended,
        median_events_per_s=answer.median_events_per_s,
        knee_events_per_s=knee(_point(result) for result in results if result.valid),
    )


def took_s(result: Result) -> float:
    """Return how long an attempt at a probe took, in seconds, without what ran during the attempt before."""
    return sum(took for phase, took in result.duration_s.items() if phase != "overhead")


def probe_s(cell: CellSpec, results: Iterable[Result]) -> float:
    """Return what one more probe is expected to take, in seconds."""
    taken = [took_s(each) for each in results if each.duration_s]
    return fmean(taken) if taken else cell.warmup_s + cell.duration_s


def _point(result: Result) -> KneePoint:
    latency = result.delivery_latency_ms
    load = result.offered_load_events_per_s or 0.0
    return KneePoint(load, latency.p99 if latency else None)


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


def _outcome(attempts: Sequence[Result], cores: int) -> ProbeOutcome | None:
    """Return the outcome of a probe, by its valid attempt if there is one; None if it says nothing of its load."""
    last = next((each for each in attempts if each.valid), attempts[-1])
    load, step = last.offered_load_events_per_s or 0.0, _step_of(last)
    if last.probe is not None and last.valid:
        verdict = cast("search.Verdict", last.probe.verdict)
        return ProbeOutcome(load, verdict, last.probe.holds, step, _hint(last, cores))
    too_much = [each for each in attempts if _is_too_much(each)]
    if too_much:
        return ProbeOutcome(load, "not sustained", holds=False, step=step, hint_events_per_s=_stored(too_much[-1]))
    late = all(any(reason.startswith(_GENERATOR) for reason in each.reasons) for each in attempts)
    disturbed = any(reason.startswith(_MACHINE) for each in attempts for reason in each.reasons)
    return ProbeOutcome(load, "void", holds=False, step=step) if late and not disturbed else None


def _hint(result: Result, cores: int) -> float | None:
    """Return the limit that a valid probe suggests, in events/s.

    If the load was too high, that is the rate stored. Otherwise it is the load that would use up the machine's CPU, or
    the core of a process that can use only one, if the cost of an event stays the same. An event costs less at a higher
    load, so the suggestion is low.
    """
    if result.probe is not None and result.probe.verdict != "sustained":
        return _stored(result)
    others = result.disturbance.other_programs + result.disturbance.stolen if result.disturbance else 0.0
    used = sum(result.cpu_cores_per_role.values()) / cores + others
    alone = [result.busiest_process_cores_per_role.get(role, 0.0) for role in _ONE_CORE_ROLES]
    busiest = max(used, *alone)
    return (result.offered_load_events_per_s or 0.0) / busiest if busiest >= _WORTH_A_HINT else None


def _stored(result: Result) -> float | None:
    return result.throughput_events_per_s or None


def _step_of(result: Result) -> search.Step:
    return cast("search.Step", result.probe.step if result.probe else "climb")

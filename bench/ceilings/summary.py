"""From the repeats of a session to its ceilings: geometric means with their intervals, and the order kept."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from msgspec import structs

from bench.ceilings import loops, targets
from bench.ceilings.loops import Loop
from bench.ceilings.session import PARTITIONS, CeilingsRequest
from bench.cells.cellspec import CellSpec
from bundle import writing
from bundle.calibration import Calibration
from bundle.ceilings import BareLoop, Ceilings, Conditions, LoopRepeat
from bundle.interval import Interval
from bundle.result import Disturbance
from pipeline.settings import Settings
from stats import intervals

_GENERATOR_WORDS = "one process of the generator against a server that keeps nothing, within its bounds"


def conclude(
    asked: CeilingsRequest,
    repeats: Mapping[str, Sequence[LoopRepeat]],
    *,
    settings: Settings,
    fingerprint: str,
    where: str,
    took_s: float,
) -> Ceilings:
    """Return the result of a session: loops, and parts apart from them. ``where``: "local", or where the servers are.

    A loop of which every repeat is void is left out.
    """
    bare_loops = [
        _bare_loop(loop, repeats[loop.name]) for loop in asked.loops if any(map(_is_valid, repeats[loop.name]))
    ]
    names = {part.name for part in loops.parts(apart=True)}
    return Ceilings(
        fingerprint=fingerprint,
        measured_at=writing.now(),
        took_s=took_s,
        rounds=asked.rounds,
        seed=asked.seed,
        servers=where,
        conditions=conditions(asked, settings),
        disturbance=disturbance([each for of_loop in repeats.values() for each in of_loop]),
        loops=tuple(loop for loop in bare_loops if loop.name not in names),
        parts=tuple(loop for loop in bare_loops if loop.name in names),
        held=tuple(targets.held(repeats)),
    )


def conditions(asked: CeilingsRequest, settings: Settings) -> Conditions:
    """Say under what the loops run: a cell's defaults, but for the traffic."""
    usual = CellSpec(id="", kind="")
    return Conditions(
        payload_bytes=asked.traffic.payload_bytes,
        visitor_share=asked.traffic.visitor_share,
        partitions=PARTITIONS,
        write_concern=usual.write_concern,
        journal=settings.mongo.journal,
        driver=usual.driver,
        acks="all",
        compression="none",
    )


def disturbance(repeats: Sequence[LoopRepeat]) -> Disturbance | None:
    """Return what others used of the machine over all valid ``repeats``, each by its length; None if none has it."""
    disturbances = [(each.disturbance, each.took_s) for each in repeats if each.valid and each.disturbance is not None]
    whole_s = sum(took_s for _, took_s in disturbances)
    if not whole_s:
        return None
    return Disturbance(
        sum(seen.other_programs * took_s for seen, took_s in disturbances) / whole_s,
        sum(seen.stolen * took_s for seen, took_s in disturbances) / whole_s,
    )


def with_generator(found: Ceilings, calibration: Calibration | None) -> Ceilings:
    """Add what the generator's calibration says as a loop of one repeat; nothing where it kept to no load."""
    others = tuple(loop for loop in found.loops if loop.name != loops.GENERATOR)
    if calibration is None or calibration.highest_events_per_s is None:
        return structs.replace(found, loops=others)
    rate, cost = calibration.highest_events_per_s, calibration.cpu_s_per_100k_events
    costs = {} if cost is None else {loops.GENERATOR: cost}
    once = LoopRepeat(
        round=1,
        place=0,  # not in the order of any round
        events=round(rate),
        took_s=1.0,
        events_per_s=rate,
        cpu_s_per_100k_events=costs,
        disturbance=calibration.disturbance,
    )
    generator = BareLoop(
        name=loops.GENERATOR,
        words=_GENERATOR_WORDS,
        events_per_s=Interval(1, rate),
        cpu_s_per_100k_events={role: Interval(1, cost) for role, cost in costs.items()},
        repeats=(once,),
    )
    return structs.replace(found, loops=(*others, generator))


def _bare_loop(loop: Loop, repeats: Sequence[LoopRepeat]) -> BareLoop:
    valid = list(filter(_is_valid, repeats))
    roles = list(dict.fromkeys(role for each in valid for role in each.cpu_s_per_100k_events))
    return BareLoop(
        name=loop.name,
        words=loop.words,
        events_per_s=_interval([each.events_per_s for each in valid]),
        cpu_s_per_100k_events={role: _interval([each.cpu_s_per_100k_events[role] for each in valid]) for role in roles},
        repeats=tuple(repeats),
    )


def _interval(values: Sequence[float]) -> Interval:
    """Return the geometric mean with its interval, or, as a short repeat may have used no CPU time, just the mean."""
    found = intervals.log_t(values)
    return Interval(*found) if found else Interval(len(values), statistics.fmean(values))


def _is_valid(repeat: LoopRepeat) -> bool:
    return repeat.valid

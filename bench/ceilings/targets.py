"""How close our parts come to the bare loops: ratios of pairs measured next to each other, held against targets.

The rule is that of docs/performance.md for a target: it is met when the one-sided 95% bound of the geometric mean of at
least ten interleaved pairs clears it. Every pair is kept.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from bench import rounds
from bundle.ceilings import Held, LoopRepeat, Pair

ROUNDS = rounds.FEWEST_PAIRS + 2
"""In which a run measures the parts: some may be void."""
_PER_100K = 100_000

Quantity = Literal["events/s", "CPU-s per 100k events", "service time p99, ms", "schedule delay p99, ms", "MB"]


class CeilingTarget(Struct, frozen=True, kw_only=True):
    """What a part is to reach: at least or at most ``share`` of the same quantity of the best of the loops ``against``.

    Without such loops, of ``limit``, in the quantity's unit. ``spare``: what is added to the loop's figure before.
    ``role``: whose CPU. ``planned``: not the loop's own events/s, but those that its costs imply for workers and
    servers that have a core each.
    """

    name: str
    part: str
    quantity: Quantity
    side: Literal["at least", "at most"]
    share: float = 1.0
    against: tuple[str, ...] = ()
    limit: float = 0.0
    spare: float = 0.0
    role: str = ""
    planned: bool = False


TARGETS = (
    CeilingTarget(
        name="a worker drains",
        part="worker-1",
        quantity="events/s",
        side="at least",
        share=0.95,
        against=("insert-1", "insert-2"),
    ),
    CeilingTarget(
        name="a worker's own CPU",
        part="worker-1",
        quantity="CPU-s per 100k events",
        role="worker",
        side="at most",
        limit=1.05,
    ),
    CeilingTarget(name="a worker's memory", part="worker-1", quantity="MB", side="at most", limit=200.0),
    CeilingTarget(
        name="two workers drain",
        part="worker-2",
        quantity="events/s",
        side="at least",
        share=0.9,
        against=("worker-1",),
    ),
    *(
        CeilingTarget(
            name=f"{words} on a core of their own, as the costs imply",
            part=part,
            quantity="events/s",
            side="at least",
            share=0.9,
            against=("worker-1",),
            planned=True,
        )
        for words, part in (("one worker", "worker-1-apart"), ("two workers", "worker-2-apart"))
    ),
    CeilingTarget(
        name="the API takes batches, 8 connections",
        part="api-batches-8",
        quantity="events/s",
        side="at least",
        share=0.85,
        against=("produce-requests-8",),
    ),
    CeilingTarget(
        name="the API answers batches, 8 connections",
        part="api-batches-8",
        quantity="service time p99, ms",
        side="at most",
        against=("produce-requests-8",),
        spare=20.0,
    ),
    CeilingTarget(
        name="the API takes batches, 64 connections",
        part="api-batches-64",
        quantity="events/s",
        side="at least",
        share=0.95,
        against=("api-batches-8",),
    ),
    CeilingTarget(
        name="the API answers batches, 64 connections",
        part="api-batches-64",
        quantity="service time p99, ms",
        side="at most",
        limit=250.0,
    ),
    CeilingTarget(
        name="the API takes single events",
        part="api-single-64",
        quantity="events/s",
        side="at least",
        share=0.75,
        against=("handler-single-64",),
    ),
    CeilingTarget(
        name="the generator offers batches",
        part="generator-105k",
        quantity="events/s",
        side="at least",
        limit=100_000.0,
    ),
    CeilingTarget(
        name="the generator's own CPU",
        part="generator-105k",
        quantity="CPU-s per 100k events",
        role="generator",
        side="at most",
        limit=0.6,
    ),
    CeilingTarget(
        name="the generator is on time at half of that",
        part="generator-50k",
        quantity="schedule delay p99, ms",
        side="at most",
        limit=5.0,
    ),
    CeilingTarget(
        name="the generator offers single events",
        part="generator-3k-single",
        quantity="events/s",
        side="at least",
        share=0.99,
        limit=3_000.0,
    ),
)


def held(repeats: Mapping[str, Sequence[LoopRepeat]]) -> list[Held]:
    """Hold every part that was measured against its targets; those of which a loop is missing are left out.

    ``repeats``: by the name of the loop or part. A pair is two valid repeats of one round; where one of them is void
    even in its last attempt, that round has none.
    """
    valid = {name: {each.round: each for each in every if each.valid} for name, every in repeats.items()}
    measured = {name: by_round for name, by_round in valid.items() if by_round}
    return [_held(target, measured) for target in TARGETS if measured.keys() >= {target.part, *target.against}]


def _held(target: CeilingTarget, repeats: Mapping[str, Mapping[int, LoopRepeat]]) -> Held:
    against = max(target.against, key=lambda name: _fast(repeats[name].values()), default="")
    pairs = []
    for number, ours in sorted(repeats[target.part].items()):
        if against and number not in repeats[against]:
            continue
        value = _value(ours, target)
        theirs = _theirs(repeats[against][number], target) if against else target.limit
        if value and theirs:
            pairs.append(Pair(ours.round, value, theirs + target.spare, value / (theirs + target.spare)))
    found = rounds.ratio([pair.ratio for pair in pairs])
    ratio, low, high = (found.mean, found.low, found.high) if found else (None, None, None)
    return Held(
        name=target.name,
        part=target.part,
        against=against,
        quantity=target.quantity,
        side=target.side,
        share=target.share,
        spare=target.spare,
        ratio=ratio,
        low=low,
        high=high,
        verdict=_verdict(target, low, high, len(pairs)),
        pairs=tuple(pairs),
    )


def _fast(repeats: Iterable[LoopRepeat]) -> float:
    return statistics.fmean(math.log(each.events_per_s) for each in repeats)


def _theirs(repeat: LoopRepeat, target: CeilingTarget) -> float | None:
    if not target.planned:
        return _value(repeat, target)
    costs = repeat.cpu_s_per_100k_events
    if not {"kafka", "mongodb", "worker"} <= costs.keys():
        return None
    return _PER_100K / max(costs["kafka"] + costs["mongodb"], costs["worker"])


def _value(repeat: LoopRepeat, target: CeilingTarget) -> float | None:
    """Return the target's quantity of one repeat; None where it is not known."""
    p99 = {"service time p99, ms": repeat.service_time_ms, "schedule delay p99, ms": repeat.schedule_delay_ms}
    if target.quantity in p99:
        percentiles = p99[target.quantity]
        return percentiles.p99 if percentiles else None
    if target.quantity == "MB":
        return repeat.memory_mb
    if target.quantity == "events/s":
        return repeat.events_per_s
    return repeat.cpu_s_per_100k_events.get(target.role)


def _verdict(target: CeilingTarget, low: float | None, high: float | None, pairs: int) -> str:
    """Say whether the target is met; where neither is shown, the answer is open."""
    if low is None or high is None:
        return "cannot tell"
    met, missed = (low >= target.share, high < target.share)
    if target.side == "at most":
        met, missed = (high <= target.share, low > target.share)
    if missed:
        return "not met"
    return "met" if met and pairs >= rounds.FEWEST_PAIRS else "cannot tell"

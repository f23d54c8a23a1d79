"""The search for the sustainable throughput: what to probe next, as a pure function of the probes so far.

It climbs in even ratios from a first load until a load is not sustained, halves the ratio between the highest load
sustained and the lowest that was not until that is small, and then has the load repeated: it is the answer only if it
is sustained each time, else the search steps down, by more each time. Further probes close to the threshold narrow its
interval. A load is sustained only if no probe of it says otherwise, an undetermined one included.
Because nothing but the probes is remembered, a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from bench.threshold import Interval, interval

Verdict = Literal["sustained", "not sustained", "undetermined", "void"]
Step = Literal["climb", "bisection", "confirmation", "interval"]

_Rate = Annotated[float, Meta(gt=0)]
MAX_DISTURBED = 3  # probes that are void although the load is known to be within the generator's means
_SIGNIFICANT = 3  # digits of a load: nothing is gained by more
_SAME = 1e-9


class SearchSettings(Struct, frozen=True):
    """How the search goes about it.

    ``start_events_per_s``: the first load; ``lowest`` and ``highest``: no load beyond these is probed.
    ``climb_factor``: from one load of the climb to the next, up or down; ``steps_down``: how many times at most.
    ``resolution``: ratio, less 1, of the lowest load not sustained to the answer at which bisection ends.
    ``confirmations``: further probes that have to sustain the answer. ``interval_width``: ratio, less 1, of the
    interval's ends that is narrow enough. ``max_probes``: all of them, void ones too.
    """

    start_events_per_s: _Rate
    lowest_events_per_s: _Rate = 100.0
    highest_events_per_s: _Rate = 1_000_000.0
    climb_factor: Annotated[float, Meta(gt=1)] = 1.5
    steps_down: Annotated[int, Meta(ge=0)] = 4
    resolution: Annotated[float, Meta(gt=0)] = 0.07
    confirmations: Annotated[int, Meta(ge=0)] = 2
    interval_width: Annotated[float, Meta(gt=0)] = 0.35
    confidence: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    max_probes: Annotated[int, Meta(ge=1)] = 14


class ProbeOutcome(Struct, frozen=True):
    """What a probe came to. ``holds``: the same by the point estimate alone, which the interval rests on.

    void: the generator could not offer that load validly, even when the probe was tried again.
    """

    load_events_per_s: float
    verdict: Verdict
    holds: bool
    step: Step


class NextProbe(Struct, frozen=True):
    """The load to probe next, in events/s, and for what."""

    load_events_per_s: float
    step: Step


class Answer(Struct, frozen=True):
    """The end of the search: see :class:`bench.result.Capacity`, whose fields these are.

    ``sustainable_events_per_s`` where not ``confirmed``: the highest load sustained so far, below all that were not.
    """

    sustainable_events_per_s: float | None
    low_events_per_s: float | None
    high_events_per_s: float | None
    confidence: float
    confirmed: bool
    ended: str


def next_step(settings: SearchSettings, probes: Sequence[ProbeOutcome]) -> NextProbe | Answer:
    """Say what comes after ``probes``: another one, or the answer. The same probes always give the same."""
    seen = _see(settings, probes)
    if len(probes) >= settings.max_probes:
        return _answer(seen, f"the cap of {settings.max_probes} probes was reached")
    if seen.disturbed > MAX_DISTURBED:
        return _answer(seen, f"{seen.disturbed} probes were void at loads that had been valid: something disturbs them")
    if seen.confirmed is not None:
        return _narrow(seen)
    if seen.lower is None:
        return _down(seen)
    return _up(seen, seen.lower)


@dataclass(frozen=True)
class _Seen:
    """What the probes say so far, load by load.

    ``sustained``: the loads of probes that were; ``failed``: the lowest load that a valid probe did not show to be.
    ``barrier``: the lowest void load, if nothing valid was probed at it or above. ``disturbed``: how many probes were
    void below a load that was valid: that was not the generator's limit, and says nothing.
    """

    settings: SearchSettings
    probes: tuple[ProbeOutcome, ...]
    valid: tuple[ProbeOutcome, ...]
    sustained: tuple[float, ...]
    failed: float
    barrier: float
    disturbed: int

    @property
    def upper(self) -> float:
        """What is sustained lies below."""
        return min(self.failed, self.barrier)

    @property
    def passed(self) -> dict[float, int]:
        """How often each load below ``upper`` was sustained."""
        return {load: self.sustained.count(load) for load in self.sustained if load < self.upper}

    @property
    def lower(self) -> float | None:
        """The highest load sustained below all that were not."""
        return max(self.passed, default=None)

    @property
    def confirmed(self) -> float | None:
        """The highest of them that was sustained often enough."""
        often = [load for load, times in self.passed.items() if times > self.settings.confirmations]
        return max(often, default=None)


def _see(settings: SearchSettings, probes: Sequence[ProbeOutcome]) -> _Seen:
    valid = tuple(probe for probe in probes if probe.verdict != "void")
    highest_valid = max((probe.load_events_per_s for probe in valid), default=0.0)
    voids = [probe.load_events_per_s for probe in probes if probe.verdict == "void"]
    return _Seen(
        settings=settings,
        probes=tuple(probes),
        valid=valid,
        sustained=tuple(probe.load_events_per_s for probe in valid if probe.verdict == "sustained"),
        failed=min((probe.load_events_per_s for probe in valid if probe.verdict != "sustained"), default=math.inf),
        barrier=min((load for load in voids if load > highest_valid), default=math.inf),
        disturbed=sum(load <= highest_valid for load in voids),
    )


def _down(seen: _Seen) -> NextProbe | Answer:
    """Nothing is sustained: begin, or step down."""
    settings = seen.settings
    if not seen.probes:
        return NextProbe(_within(settings, settings.start_events_per_s), "climb")
    loads = {probe.load_events_per_s for probe in seen.probes}
    lowest = min(loads)
    if (
        sum(load < _within(settings, settings.start_events_per_s) for load in loads) >= settings.steps_down
        or lowest <= settings.lowest_events_per_s
    ):
        return _answer(seen, f"not determined: not even {lowest:,.0f} events/s were shown to be sustained")
    return NextProbe(_within(settings, seen.upper / settings.climb_factor), "climb")


def _up(seen: _Seen, lower: float) -> NextProbe:
    """Something is sustained: climb, halve, or have it confirmed."""
    settings = seen.settings
    confirm = NextProbe(lower, "confirmation")
    if math.isinf(seen.upper):
        higher = _within(settings, lower * settings.climb_factor)
        return NextProbe(higher, "climb") if higher > lower else confirm
    refuted = {probe.load_events_per_s for probe in seen.valid if probe.step == "confirmation"} - set(seen.passed)
    if refuted:
        ratio = (1 + settings.resolution) ** (2 ** (len(refuted) - 1))
        return NextProbe(max(lower, _within(settings, seen.upper / ratio)), "confirmation")
    between = _within(settings, math.sqrt(lower * seen.upper))
    if seen.upper <= lower * (1 + settings.resolution) * (1 + _SAME) or not lower < between < seen.upper:
        return confirm
    return NextProbe(between, "bisection")


def _narrow(seen: _Seen) -> NextProbe | Answer:
    """The answer stands; its interval may need more probes."""
    settings = seen.settings
    bounds = _interval(seen)
    if bounds.high is not None and bounds.low is not None:
        if bounds.high <= bounds.low * (1 + settings.interval_width):
            return _answer(seen, "the answer is confirmed and its interval narrow enough")
        aim = bounds.median
    else:
        aim = max(probe.load_events_per_s for probe in seen.valid) * (1 + settings.resolution)
    load = _within(settings, aim)
    if load >= seen.barrier or (bounds.high is None and load <= max(seen.passed)):
        return _answer(seen, "the answer is confirmed")
    return NextProbe(load, "interval")


def _answer(seen: _Seen, ended: str) -> Answer:
    confirmed = seen.confirmed
    load = seen.lower if confirmed is None else confirmed
    bounds = _interval(seen) if seen.valid else None
    high = bounds.high if bounds else None
    if high is None and not math.isinf(seen.barrier):
        ended += f"; at {seen.barrier:,.0f} events/s the generator could not keep its schedule"
    elif high is None and load is not None and load >= _within(seen.settings, math.inf):
        ended += "; no higher load was to be probed"
    return Answer(
        sustainable_events_per_s=load,
        low_events_per_s=bounds.low if bounds else None,
        high_events_per_s=high,
        confidence=seen.settings.confidence,
        confirmed=confirmed is not None,
        ended=ended,
    )


def _interval(seen: _Seen) -> Interval:
    loads = [probe.load_events_per_s for probe in seen.valid]
    return interval(loads, [probe.holds for probe in seen.valid], seen.settings.confidence)


def _within(settings: SearchSettings, load: float) -> float:
    """Keep a load between the lowest and the highest, rounded to three digits."""
    kept = min(max(load, settings.lowest_events_per_s), settings.highest_events_per_s)
    digits = _SIGNIFICANT - 1 - math.floor(math.log10(kept))
    return float(min(max(round(kept, digits), settings.lowest_events_per_s), settings.highest_events_per_s))

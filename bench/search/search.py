"""The search for the sustainable throughput: what to probe next, as a pure function of the probes so far.

It climbs from a first load, with growing steps, until a load is not sustained. It halves the ratio between the highest
sustained load and the lowest that was not, until that is small. Then it repeats probes until the answer was sustained
often enough, at its own load or at a higher one. Each probe also hints at the limit, by the rate that it stored or the
CPU that it left, and the search goes there at once, by at most the largest step. Further probes close to the threshold
narrow its interval. A load is sustained only if no probe at it or below it says otherwise; an
undetermined probe says so unless as many at its load or above it are sustained.
Because nothing but the probes is remembered, a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from bench.search.threshold import LimitInterval, interval

Verdict = Literal["sustained", "not sustained", "undetermined", "void"]
Step = Literal["climb", "bisection", "confirmation", "interval"]

_Rate = Annotated[float, Meta(gt=0)]
MAX_DISTURBED = 3  # probes that are void although the load is known to be within the generator's means
_SIGNIFICANT = 3  # digits of a load: nothing is gained by more
_SAME = 1e-9
_SHORT_OF_A_HINT = 0.9  # going up: a load just below the limit shows more than one just above it
_MOST_SQUARED = 8


class SearchSettings(Struct, frozen=True):
    """How the search goes about it.

    ``start_events_per_s``: the first load; ``lowest`` and ``highest``: no load beyond these is probed.
    ``climb_factor``: the first step of the climb, up or down; each further one is the square of the one before, up to
    ``largest_factor``. ``steps_down``: how many at most.
    ``resolution``: ratio, less 1, of the lowest load not sustained to the answer at which bisection ends.
    ``confirmations``: further probes that have to sustain the answer, or a higher load. ``interval_width``: ratio,
    less 1, of the interval's ends that is narrow enough. ``max_probes``: all of them, void ones too.
    """

    start_events_per_s: _Rate
    lowest_events_per_s: _Rate = 100.0
    highest_events_per_s: _Rate = 1_000_000.0
    climb_factor: Annotated[float, Meta(gt=1)] = 1.25
    largest_factor: Annotated[float, Meta(gt=1)] = 2.0
    steps_down: Annotated[int, Meta(ge=0)] = 4
    resolution: Annotated[float, Meta(gt=0)] = 0.07
    confirmations: Annotated[int, Meta(ge=0)] = 2
    interval_width: Annotated[float, Meta(gt=0)] = 0.35
    confidence: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    max_probes: Annotated[int, Meta(ge=1)] = 14


class ProbeOutcome(Struct, frozen=True):
    """The outcome of a probe. ``holds``: the same by the point estimate alone, which the interval rests on.

    void: the generator could not offer that load validly, even when the probe was tried again.
    ``hint_events_per_s``: the limit that this probe suggests; None if it suggests none.
    """

    load_events_per_s: float
    verdict: Verdict
    holds: bool
    step: Step
    hint_events_per_s: float | None = None


class NextLoad(Struct, frozen=True):
    """The load to probe next, in events/s, and for what."""

    load_events_per_s: float
    step: Step


class SearchAnswer(Struct, frozen=True):
    """The end of the search: see :class:`bundle.capacity.CapacityAnswer`, whose fields these are.

    ``sustainable_events_per_s`` where not ``confirmed``: the highest load sustained so far, below all that were not.
    """

    sustainable_events_per_s: float | None
    low_events_per_s: float | None
    high_events_per_s: float | None
    confidence: float
    confirmed: bool
    ended: str
    median_events_per_s: float | None = None


def next_step(settings: SearchSettings, probes: Sequence[ProbeOutcome]) -> NextLoad | SearchAnswer:
    """Say what comes after ``probes``: another one, or the answer. The same probes always lead to the same."""
    seen = _see(settings, probes)
    if len(probes) >= settings.max_probes:
        return _answer(seen, f"the cap of {settings.max_probes} probes was reached")
    if seen.disturbed > MAX_DISTURBED:
        return _answer(seen, f"{seen.disturbed} probes were void at loads that had been valid: something disturbs them")
    if seen.lower is None:
        return _down(seen)
    if seen.is_closed and seen.confirmed == seen.lower:
        return _narrow(seen)
    return _up(seen, seen.lower)


def answer(settings: SearchSettings, probes: Sequence[ProbeOutcome], ended: str) -> SearchAnswer:
    """Return what ``probes`` show if the search ends now; ``ended`` says why it does."""
    return _answer(_see(settings, probes), ended)


@dataclass(frozen=True)
class _Seen:
    """What the probes say so far, load by load.

    ``sustained``: the loads of probes that were; ``failed``: the lowest load that a valid probe did not sustain, or
    that was undetermined more often than it or a higher one was sustained.
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
        """How often each load below ``upper`` was shown to be sustained: a higher sustained load shows it too."""
        return {load: sum(other >= load for other in self.sustained) for load in self.sustained if load < self.upper}

    @property
    def lower(self) -> float | None:
        """The highest load sustained below all that were not."""
        return max(self.passed, default=None)

    @property
    def confirmed(self) -> float | None:
        """The highest of them that was sustained often enough."""
        often = [load for load, times in self.passed.items() if times > self.settings.confirmations]
        return max(often, default=None)

    @property
    def refuted(self) -> int:
        """How many loads failed their confirmation."""
        return len({probe.load_events_per_s for probe in self.valid if probe.step == "confirmation"} - set(self.passed))

    @property
    def is_closed(self) -> bool:
        """Whether bisection is over; after a refuted load the resolution is coarser."""
        if self.lower is None:
            return False
        if math.isinf(self.upper):
            return _within(self.settings, math.inf) <= self.lower
        tolerated = (1 + self.settings.resolution) ** (1 + self.refuted)
        between = _within(self.settings, math.sqrt(self.lower * self.upper))
        return self.upper <= self.lower * tolerated * (1 + _SAME) or not self.lower < between < self.upper


def _see(settings: SearchSettings, probes: Sequence[ProbeOutcome]) -> _Seen:
    valid = tuple(probe for probe in probes if probe.verdict != "void")
    highest_valid = max((probe.load_events_per_s for probe in valid), default=0.0)
    voids = [probe.load_events_per_s for probe in probes if probe.verdict == "void"]
    sustained = tuple(probe.load_events_per_s for probe in valid if probe.verdict == "sustained")
    undetermined = [probe.load_events_per_s for probe in valid if probe.verdict == "undetermined"]
    failed = [probe.load_events_per_s for probe in valid if probe.verdict == "not sustained"]
    failed += [load for load in undetermined if undetermined.count(load) > sum(other >= load for other in sustained)]
    return _Seen(
        settings=settings,
        probes=tuple(probes),
        valid=valid,
        sustained=sustained,
        failed=min(failed, default=math.inf),
        barrier=min((load for load in voids if load > highest_valid), default=math.inf),
        disturbed=sum(load <= highest_valid for load in voids),
    )


def _down(seen: _Seen) -> NextLoad | SearchAnswer:
    """Nothing is sustained: begin, or step down."""
    settings = seen.settings
    start = _within(settings, settings.start_events_per_s)
    if not seen.probes:
        return NextLoad(start, "climb")
    loads = {probe.load_events_per_s for probe in seen.probes}
    lowest = min(loads)
    below = sum(load < start for load in loads)
    if below >= settings.steps_down or lowest <= settings.lowest_events_per_s:
        return _answer(seen, f"not determined: not even {lowest:,.0f} events/s were shown to be sustained")
    factor = _factor(settings, below)
    hint = _hint(seen, seen.upper)
    if hint is None:
        return NextLoad(_within(settings, seen.upper / factor), "climb")
    largest = max(factor, settings.largest_factor)
    load = min(max(hint, seen.upper / largest), seen.upper / (1 + settings.resolution))
    return NextLoad(_within(settings, load), "climb")


def _up(seen: _Seen, lower: float) -> NextLoad:
    """Something is sustained: climb, halve, or have it confirmed."""
    settings = seen.settings
    if seen.is_closed:
        return NextLoad(lower, "confirmation")
    if math.isinf(seen.upper):
        climbed = len({load for load in seen.sustained if load > settings.start_events_per_s})
        higher, hint = lower * _factor(settings, climbed), _hint(seen, lower)
        if hint is not None:
            least, most = lower * (1 + settings.resolution), lower * settings.largest_factor
            higher = min(max(_SHORT_OF_A_HINT * hint, least), most)
        return NextLoad(_within(settings, higher), "climb")
    if seen.refuted:
        ratio = (1 + settings.resolution) ** (2 ** (seen.refuted - 1))
        return NextLoad(max(lower, _within(settings, seen.upper / ratio)), "confirmation")
    return NextLoad(_within(settings, math.sqrt(lower * seen.upper)), "bisection")


def _factor(settings: SearchSettings, steps: int) -> float:
    """Return the factor of the next step of a climb; steps grow, so that a distant first load needs few of them."""
    return float(min(settings.climb_factor ** (2 ** min(steps, _MOST_SQUARED)), settings.largest_factor))


def _hint(seen: _Seen, load: float) -> float | None:
    """Return the limit that the last probe at ``load`` suggests."""
    hints = [probe.hint_events_per_s for probe in seen.valid if probe.load_events_per_s == load]
    return next((hint for hint in reversed(hints) if hint is not None), None)


def _narrow(seen: _Seen) -> NextLoad | SearchAnswer:
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
    return NextLoad(load, "interval")


def _answer(seen: _Seen, ended: str) -> SearchAnswer:
    load, confirmed = seen.lower, seen.confirmed
    if load is not None and confirmed is not None and load <= confirmed * (1 + seen.settings.resolution) ** 2:
        load = confirmed  # close to it; one that is farther below is no answer yet
    bounds = _interval(seen) if seen.valid else None
    high = bounds.high if bounds else None
    if high is None and not math.isinf(seen.barrier):
        ended += f"; at {seen.barrier:,.0f} events/s the generator could not keep its schedule"
    elif high is None and load is not None and load >= _within(seen.settings, math.inf):
        ended += "; no higher load was to be probed"
    return SearchAnswer(
        sustainable_events_per_s=load,
        low_events_per_s=bounds.low if bounds else None,
        high_events_per_s=high,
        confidence=seen.settings.confidence,
        confirmed=load is not None and load == confirmed,
        ended=ended,
        median_events_per_s=bounds.median if bounds and None not in (bounds.low, bounds.high) else None,
    )


def _interval(seen: _Seen) -> LimitInterval:
    loads = [probe.load_events_per_s for probe in seen.valid]
    return interval(loads, [probe.holds for probe in seen.valid], seen.settings.confidence)


def _within(settings: SearchSettings, load: float) -> float:
    """Keep a load between the lowest and the highest, rounded to three digits."""
    kept = min(max(load, settings.lowest_events_per_s), settings.highest_events_per_s)
    digits = _SIGNIFICANT - 1 - math.floor(math.log10(kept))
    return float(min(max(round(kept, digits), settings.lowest_events_per_s), settings.highest_events_per_s))

"""The checks: what must be seen of a planted fault, in result and report, and by which twin it must not be seen."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq

from bench.cells.bounds import Bounds
from bench.evidence.durations import EventDurations
from bench.judge.detectors import Detector, Detectors
from bench.run.repeatspec import RepeatSpec
from bench.selftest import stalls
from bench.selftest.planting import Context
from bench.selftest.reporting import ReportedRepeat
from bench.selftest.stalls import ExpectedDelays, Stall
from bundle.result import Result

STRICT = Bounds(schedule_delay_p99_ms=1e-6, generator_cpu_share=1e-6, clock_drift_ms_per_s=1e-9)
"""No repeat keeps to these."""
TOLERANCE = 0.1
_LATE_BY_MACHINE = re.compile(
    r"generator: schedule delay .* \(in the window other programs used (\d+)% of the machine's CPU, "
    r"and its host took (\d+)%\)"
)
_MUCH_PERCENT = 15  # of the machine, taken by others: no wonder that a generator is late
_MOST_OF_IT = 0.8
_MS = 1_000_000


@dataclass(frozen=True)
class JudgedRepeat:
    """One repeat as it was judged: ``events`` of its window, ``context`` what was noted of the planting.

    ``due_s``: when every event of it was due by the schedule, seconds from the epoch, ascending.
    """

    repeat: RepeatSpec
    result: Result
    events: EventDurations
    context: Context
    due_s: np.ndarray
    folder: Path


@dataclass(frozen=True)
class Check:
    """``wrong`` says what is wrong, nothing if the check passes; ``wrong_in_report`` the same of the report.

    Its twin is the same evidence judged ``without`` the detectors that see it, or, where nothing is to be seen, by
    bounds that no repeat keeps to: the check must then fail.
    """

    what: str
    without: Detectors
    wrong: Callable[[JudgedRepeat], str]
    wrong_in_report: Callable[[ReportedRepeat], str] | None = None
    pattern: str = ""  # of the message that it expects
    numbers: Callable[[JudgedRepeat], str] | None = None  # what was seen, where words do not say it


def said(among: Literal["findings", "reasons"], pattern: str, *without: Detector) -> Check:
    """There is a finding, or a reason for which the repeat is void, that ``pattern`` matches as a whole."""
    word = re.compile(pattern)

    def wrong(texts: Sequence[str]) -> str:
        return "" if any(map(word.fullmatch, texts)) else f"none of the {among} is {pattern!r}: {list(texts)}"

    return Check(
        what=f"{among}: {pattern}",
        without=frozenset(without),
        wrong=lambda seen: wrong(getattr(seen.result, among)),
        wrong_in_report=lambda report: wrong(getattr(report, among)),
        pattern=pattern,
    )


def nothing_else(expected: Sequence[str], *, is_void: bool) -> Check:
    """Nothing is reported but what one of the patterns ``expected`` matches, and the repeat is void if it should be.

    That the generator was late beside others who took much of the machine is reported rightly: it is no false alarm.
    """

    def wrong(seen: JudgedRepeat) -> str:
        others = _surprising(unexpected(seen.result, expected))
        if others:
            return f"reported besides: {others}"
        void = bool(_surprising(seen.result.reasons))
        return "" if void is is_void else f"void is {void}"

    def wrong_in_report(report: ReportedRepeat) -> str:
        others = _surprising(_others([*report.findings, *report.reasons], expected))
        return f"besides in the report: {others}" if others else ""

    return Check("nothing else is reported", frozenset(), wrong, wrong_in_report)


def unexpected(result: Result, expected: Sequence[str]) -> list[str]:
    """Return the findings and reasons that none of the patterns matches."""
    return _others([*result.findings, *result.reasons], expected)


def _surprising(texts: Sequence[str]) -> list[str]:
    """Leave out that the generator was late because others took much of the machine."""
    found = [(text, _LATE_BY_MACHINE.fullmatch(text)) for text in texts]
    return [text for text, late in found if late is None or int(late[1]) + int(late[2]) < _MUCH_PERCENT]


def _others(texts: Sequence[str], expected: Sequence[str]) -> list[str]:
    return [text for text in texts if not any(re.fullmatch(pattern, text) for pattern in expected)]


def counted(name: str, number: int, without: Detector) -> Check:
    """The audit counts ``number`` events as ``name``, and accounts for all others."""

    def wrong(seen: JudgedRepeat) -> str:
        found = getattr(seen.result.audit, name)
        return "" if found == number else f"audit: {name} is {found}, not {number}"

    def wrong_in_report(report: ReportedRepeat) -> str:
        found = report.audit.get(name)
        return "" if found == number else f"audit in the report: {name} is {found}, not {number}"

    return Check(f"audit: {name} is {number}", frozenset([without]), wrong, wrong_in_report)


def redelivered(sequences: Sequence[int] | None = None) -> Check:
    """The audit counts as delivered twice what stands twice in the bundle's deliveries.

    ``sequences``: which events of stream 0 these are. None: any, but at least one, and no event is lost.
    """

    def wrong(seen: JudgedRepeat) -> str:
        ids = pq.read_table(seen.folder / "deliveries.parquet", columns=["id_low"])["id_low"].to_numpy()
        values, counts = np.unique(ids, return_counts=True)
        again = (values[counts > 1] & np.uint64((1 << 36) - 1)).tolist()
        audit = seen.result.audit
        if sequences is not None and again != list(sequences):
            return f"the events that stand twice in the deliveries are {again}, not {list(sequences)}"
        if not again:
            return "no event stands twice in the deliveries"
        if audit.delivered_twice != int((counts - 1).sum()):
            return f"audit: delivered_twice is {audit.delivered_twice}, not {int((counts - 1).sum())}"
        if sequences is None and (audit.lost or audit.stored_accepted != audit.accepted):
            return f"audit: {audit.stored_accepted} of {audit.accepted} are stored"
        return ""

    what = "audit: delivered_twice is what the deliveries show"
    also = ", and nothing is lost" if sequences is None else ""
    return Check(
        what=what + also,
        without=frozenset([Detector.DELIVERED_TWICE]),
        wrong=wrong,
        numbers=lambda seen: f"{seen.result.audit.delivered_twice:,} delivered twice, {seen.result.audit.lost:,} lost",
    )


def latencies(limit_s: float) -> Check:
    """As many events as the stall explains took longer than ``limit_s``, and the longest as long as it explains."""

    def wrong(seen: JudgedRepeat) -> str:
        found = _Latencies.from_repeat(seen, limit_s)
        if found is None:
            return "there was no stall"
        return "" if found.is_explained else f"{found}"

    return Check(
        what=f"as many events took longer than {limit_s:g} s as the stall explains, and none longer than it explains",
        without=frozenset([Detector.WAITING]),
        wrong=wrong,
        numbers=lambda seen: str(_Latencies.from_repeat(seen, limit_s)),
    )


@dataclass(frozen=True)
class _Latencies:
    """What was measured of a stall, and what had to be: ``lowest_s`` to ``highest_s`` for the longest."""

    stall: Stall
    expected: ExpectedDelays
    late: int
    longest_s: float
    lowest_s: float
    highest_s: float
    limit_s: float

    @classmethod
    def from_repeat(cls, seen: JudgedRepeat, limit_s: float) -> _Latencies | None:
        """Return both; None where there was no stall."""
        stall, counted = seen.context.stall, seen.context.counted
        window, measured = seen.result.window, seen.result.delivery_latency_ms
        if stall is None or counted is None or window is None or measured is None:
            return None
        expected = stalls.expected(stall, seen.due_s, counted, (window.start_s, window.end_s), limit_s)
        taken_s = seen.events.delivery_latency / 1e9
        before_s = taken_s[seen.events.intended / 1e9 < stall.start_s - stall.length_s]
        return cls(
            stall=stall,
            expected=expected,
            late=int((taken_s > limit_s).sum()),
            longest_s=(measured.max or 0.0) / 1e3,
            lowest_s=stall.length_s - float(np.diff(np.unique(seen.due_s)).max()),
            highest_s=stall.length_s + expected.catch_up_s + 2 * float(before_s.max(initial=0.0)),
            limit_s=limit_s,
        )

    @property
    def is_explained(self) -> bool:
        """Whether the stall and its backlog explain what was measured."""
        least, most = (1 - TOLERANCE) * self.expected.late_low, (1 + TOLERANCE) * self.expected.late_high
        if not math.isfinite(self.highest_s):  # it never caught up: then anything would do
            return False
        return least <= self.late <= most and self.lowest_s <= self.longest_s <= self.highest_s

    def __str__(self) -> str:
        expected = self.expected
        high = f" to {expected.late_high:,}" if expected.late_high > expected.late_low else ""
        first_s = self.stall.length_s - self.limit_s
        return (
            f"{self.late:,} events took longer than {self.limit_s:g} s, expected were {expected.late_low:,}{high} "
            f"({expected.offered_per_s * first_s:,.0f} offered in {first_s:.3f} s, the others for the catch-up of "
            f"{expected.catch_up_s:.3f} s at {expected.stored_per_s:,.0f} events/s); the longest took "
            f"{self.longest_s:.3f} s, expected were {self.lowest_s:.3f} to {self.highest_s:.3f} s"
        )


def part(stages: Sequence[str], *, answers_wait: bool) -> Check:
    """The time of the slow events lies in ``stages``, and answers came late only if ``answers_wait``.

    So one can see which part stood still: the API if it is what lies before the record's timestamp; else Kafka if
    answers waited too, and MongoDB if they did not.
    """

    def wrong(seen: JudgedRepeat) -> str:
        cohort = next((each for each in seen.result.cohorts if each.name == "p99"), None)
        answers = seen.result.response_time_ms
        if cohort is None or answers is None or answers.max is None or seen.context.stall is None:
            return "the result does not say where the time went"
        whole_ms = sum(cohort.stages_ms.values())
        if abs(whole_ms - cohort.delivery_latency_ms) > 1e-6 * whole_ms:
            return f"the stages of the p99 cohort add up to {whole_ms:.3f} ms, not {cohort.delivery_latency_ms:.3f} ms"
        share = sum(cohort.stages_ms[name] for name in stages) / whole_ms
        if share < _MOST_OF_IT:
            return f"only {share:.0%} of the p99 cohort's delivery latency lies in {' and '.join(stages)}"
        half_ms = seen.context.stall.length_s * 1e3 / 2
        if (answers.max > half_ms) is not answers_wait:
            return f"the longest response time is {answers.max:.0f} ms"
        return ""

    return Check(f"the slow events' time lies in {' and '.join(stages)}", frozenset([Detector.WAITING]), wrong)

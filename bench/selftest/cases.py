"""The cases: what is planted into which repeat, and what must be said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.judge import causality
from bench.judge.detectors import Detector
from bench.kinds.drain import DrainCell
from bench.selftest import checks
from bench.selftest.checks import Check
from bench.selftest.planting import TRIGGER, Act, kill_worker, set_wall_clock, stall, trigger
from traffic.spec import Traffic

LOAD_EVENTS_PER_S = 2_000.0
LIMIT_S = 0.5
STALL_S = 1.0
JUMP_MS = 500
DRAINED_EVENTS = 100_000
OBJECTIVE = Objective(delivery_latency_p99_ms=LIMIT_S * 1e3)
CLEAN = "clean"

# Requests of 16 events, one every eight milliseconds: what follows from a stall is then hardly a matter of chance.
SMOOTH = Traffic(batch_min_events=16, batch_max_events=16, visitor_share=0.0)
_LARGE = structs.replace(SMOOTH, batch_min_events=100, batch_max_events=100)
_STEADY = CellSpec(
    id="",
    kind="steady",
    partitions=1,
    batch_max_events=100,  # a write is acknowledged as a whole, and small ones soon after their events are there
    offered_load=LOAD_EVENTS_PER_S,
    warmup_s=1.0,
    duration_s=9.0,
)
_SHORT = structs.replace(_STEADY, duration_s=4.0)
_PAIR = structs.replace(_STEADY, partitions=2, consumers=2)
_DRAIN = DrainCell(id="", partitions=1, events=DRAINED_EVENTS)
_OTHER_CONTENT = "stored with other content than was sent"
_LATE = rf"objective missed: delivery latency p99 [\d.]+ ms > {LIMIT_S * 1e3:g} ms"


@dataclass(frozen=True)
class Case:
    """A repeat with something planted into it.

    ``fault`` goes into the processes of one role, ``act`` is done to the system under load. ``checks``: what must be
    seen. ``beside``: patterns of findings and reasons that the fault may bring along. ``is_short``: of the short form.
    """

    name: str
    planted: str
    cell: CellSpec
    checks: tuple[Check, ...] = ()
    fault: Mapping[str, Any] | None = None
    act: Act | None = None
    traffic: Traffic = SMOOTH
    objective: Objective = OBJECTIVE
    is_void: bool = False
    beside: tuple[str, ...] = ()
    is_short: bool = True

    @property
    def expected(self) -> tuple[str, ...]:
        """The patterns of all that may be reported of it."""
        return (*(each.pattern for each in self.checks if each.pattern), *self.beside)

    @property
    def all_checks(self) -> tuple[Check, ...]:
        """Its own checks, and that nothing else is reported."""
        return (*self.checks, checks.nothing_else(self.expected, is_void=self.is_void))


def select(*, short: bool) -> tuple[Case, ...]:
    """Return the cases of the short form, or all of them."""
    return tuple(case for case in _CASES if case.is_short or not short)


def _stalled(role: str, name: str, stages: tuple[str, ...], *, answers_wait: bool) -> Case:
    return Case(
        name=f"stall-{role}",
        planted=f"{name} stopped for {STALL_S:g} s",
        cell=_STEADY,
        act=stall(role, at_s=4.0, length_s=STALL_S),
        checks=(
            checks.said("findings", _LATE, Detector.OBJECTIVE),
            checks.latencies(LIMIT_S),
            checks.part(stages, answers_wait=answers_wait),
        ),
    )


def _audited(
    name: str,
    planted: str,
    found: tuple[Check, ...],
    fault: Mapping[str, int],
    *,
    short: bool,
    is_void: bool = False,
    beside: tuple[str, ...] = (),
) -> Case:
    of_worker = {"role": "worker", **fault}
    return Case(name, planted, _DRAIN, found, of_worker, is_short=short, is_void=is_void, beside=beside)


def _one(name: str, words: str, named: str, without: Detector) -> tuple[Check, Check]:
    """One event is counted under ``name``, and the finding names it, and it alone."""
    return checks.said("findings", rf"1 {words} \({named}\)", without), checks.counted(name, 1, without)


def _jumped(role: str, whose: str, ahead_ms: int, *, short: bool) -> Case:
    way, ahead = ("forwards", "ahead") if ahead_ms > 0 else ("backwards", "behind")
    return Case(
        name=f"clock-{role}-{ahead}",
        planted=f"{whose.split(',', maxsplit=1)[0]} jumps {abs(ahead_ms)} ms {way}",
        cell=_SHORT,
        fault={"role": role, "clock_ms": ahead_ms, "after": TRIGGER},
        act=trigger(2.5),
        is_void=True,
        checks=(checks.said("reasons", rf"clocks: .*: {whose} is {ahead}", Detector.ORDER, Detector.WITNESS),),
        objective=Objective(),
        beside=(r"generator: schedule delay .*", r"witness: .*: its stamps are late"),
        is_short=short,
    )


_LOST, _COPIED, _TWICE, _FOREIGN, _ALTERED = 23_456, 34_567, 45_678, 56_789, 67_890
# The _id under which the faults store a second document of an event, and one of no event.
_COPY, _STRANGER = b"copied-event".hex(), b"foreign-self".hex()
_FIND_LOST = _one("lost", "accepted and then lost", f"stream/sequence 0/{_LOST}", Detector.LOST)
_FIND_COPIED = (
    *_one("stored_twice", "stored twice", f"stream/sequence 0/{_COPIED}", Detector.STORED_TWICE),
    *_one("differing", _OTHER_CONTENT, rf"document {_COPY}: _id is [^;]*", Detector.DIFFERING),
)
_FIND_TWICE = (checks.counted("delivered_twice", 1, Detector.DELIVERED_TWICE), checks.redelivered([_TWICE]))
_FIND_FOREIGN = _one("foreign", "foreign: .*", f"_id {_STRANGER}", Detector.FOREIGN)
_FIND_ALTERED = _one(
    "differing",
    _OTHER_CONTENT,
    r"document \w+: user_id is 'somebody else', [^;]*",
    Detector.DIFFERING,
)

_CASES = (
    Case(CLEAN, "nothing", _STEADY),
    _stalled("mongodb", "MongoDB", ("kafka_and_backlog", "write"), answers_wait=False),
    _stalled("kafka", "Kafka", ("kafka_and_backlog",), answers_wait=True),
    _stalled("api", "the API", ("http_and_api",), answers_wait=True),
    _audited(
        "audit",
        f"of {DRAINED_EVENTS:,} events one lost, one stored twice, one read twice; one foreign document",
        (*_FIND_LOST, *_FIND_COPIED, *_FIND_TWICE, *_FIND_FOREIGN),
        {"lost": _LOST, "copied": _COPIED, "twice": _TWICE, "foreign": _FOREIGN},
        short=True,
    ),
    _audited("lost", "one event never written, though committed", _FIND_LOST, {"lost": _LOST}, short=False),
    _audited("stored-twice", "one event stored under two ids", _FIND_COPIED, {"copied": _COPIED}, short=False),
    _audited("delivered-twice", "one event read from Kafka twice", _FIND_TWICE, {"twice": _TWICE}, short=False),
    _audited("foreign", "a document of no event", _FIND_FOREIGN, {"foreign": _FOREIGN}, short=False),
    _audited("altered", "one event stored with another user", _FIND_ALTERED, {"altered": _ALTERED}, short=False),
    _audited(
        "foreign-ids",
        "documents whose _id says nothing of their event",
        (
            checks.said(
                "findings",
                rf"{DRAINED_EVENTS:,} {_OTHER_CONTENT} \(document .*: _id is .*\)",
                Detector.DIFFERING,
            ),
        ),
        {"id_from_offset": 1},
        short=False,
        is_void=True,  # of documents whose _id says nothing no delivery is known
        beside=(r"accounting: \d+ stored events are in no deliveries log",),
    ),
    Case(
        name="generator-starved",
        planted="a thread of the generator keeps Python's lock",
        cell=_SHORT,
        traffic=_LARGE,
        fault={"role": "generator", "starved_ms": 20, "for_s": 8.0, "after": TRIGGER},
        act=trigger(0.0),
        is_void=True,
        checks=(
            checks.said("reasons", r"generator: schedule delay p99 [\d.]+ ms > .*", Detector.SCHEDULE_DELAY),
            checks.said("reasons", r"generator: a process used \d+% of a core > .*", Detector.GENERATOR_SHARE),
        ),
        objective=Objective(),
        beside=(r"generator: \d+ events unsent > 0",),
    ),
    _jumped("worker", "the worker's clock, or its log,", JUMP_MS, short=True),
    _jumped("worker", "the worker's clock, or its log,", -JUMP_MS, short=False),
    _jumped("api", "the API's clock", JUMP_MS, short=False),
    _jumped("api", "the API's clock", -JUMP_MS, short=False),
    _jumped("generator", "the generator's clock", JUMP_MS, short=False),
    _jumped("generator", "the generator's clock", -JUMP_MS, short=True),
    _jumped("witness", "the witness's clock", JUMP_MS, short=False),
    _jumped("witness", "the witness's clock", -JUMP_MS, short=False),
    Case(
        name="clock-harness",
        planted=f"the harness's wall clock jumps {JUMP_MS} ms forwards, and back",
        cell=_SHORT,
        act=set_wall_clock(2.5, JUMP_MS),
        is_void=True,
        checks=(checks.said("reasons", rf"clocks: .*: {causality.DRIFTED}", Detector.CLOCK_DRIFT),),
        objective=Objective(),
        is_short=False,
    ),
    Case(
        name="worker-killed",
        planted="one of two workers killed under load (SIGKILL)",
        cell=_PAIR,
        fault={"role": "worker", "commit_every_ms": 500},
        act=kill_worker(at_s=3.0, wait_s=2.0),
        checks=(
            checks.said("findings", r"crash: worker-1 ended with exit code -9, see .*", Detector.CRASH),
            checks.redelivered(),
        ),
        beside=(_LATE,),
    ),
)

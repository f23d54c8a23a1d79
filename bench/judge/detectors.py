"""What the harness looks for, by name: all of it, always. Only the self-test leaves one out, and judges again."""

from __future__ import annotations

from enum import StrEnum


class Detector(StrEnum):
    """One thing that is looked for in the evidence of a repeat."""

    LOST = "events accepted and then lost"
    STORED_TWICE = "events stored twice"
    DELIVERED_TWICE = "events delivered twice"
    FOREIGN = "documents that no event of the run explains"
    DIFFERING = "documents with other content than was sent"
    CRASH = "processes that ended by themselves"
    WAITING = "what an event waited before a worker had it"
    OBJECTIVE = "the objective"
    SCHEDULE_DELAY = "how late the generator sent"
    GENERATOR_SHARE = "how busy the generator was"
    CLOCK_DRIFT = "wall and monotonic clock moving apart"
    ORDER = "stamps that come before those of their cause"
    WITNESS = "what the witness read against what the workers say"


Detectors = frozenset[Detector]
ALL: Detectors = frozenset(Detector)

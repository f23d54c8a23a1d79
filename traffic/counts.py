"""How many events were offered and what became of them, and how late requests went out."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from traffic.ledger import Outcome

# Schedule delays are counted by the bits of their microseconds: bucket b holds those below 2^b us.
_DELAY_BUCKETS = 40


class Counts(Struct):
    """Numbers of events (``requests``, ``failures``: of requests), in one process or added up over several."""

    offered: int = 0
    accepted: int = 0
    rejected: int = 0
    in_doubt: int = 0
    unsent: int = 0
    requests: int = 0
    failures: int = 0
    delays: list[int] = msgspec.field(default_factory=lambda: [0] * _DELAY_BUCKETS)

    def add(self, outcome: Outcome, events: int) -> None:
        """Count ``events`` more with ``outcome``."""
        match outcome:
            case Outcome.ACCEPTED:
                self.accepted += events
            case Outcome.REJECTED:
                self.rejected += events
            case Outcome.IN_DOUBT:
                self.in_doubt += events
            case Outcome.UNSENT:
                self.unsent += events

    def note_delay(self, delay_ns: int) -> None:
        """Count the schedule delay of one request."""
        self.delays[min((delay_ns // 1000).bit_length(), _DELAY_BUCKETS - 1)] += 1

    def include(self, other: Counts) -> None:
        """Add another process's numbers to these."""
        self.offered += other.offered
        self.accepted += other.accepted
        self.rejected += other.rejected
        self.in_doubt += other.in_doubt
        self.unsent += other.unsent
        self.requests += other.requests
        self.failures += other.failures
        self.delays = [mine + theirs for mine, theirs in zip(self.delays, other.delays, strict=True)]

    def delay_bound_ms(self, share: float) -> float | None:
        """Return a bound in ms below which ``share`` of the schedule delays lie; None before any request."""
        total = sum(self.delays)
        passed = 0
        for bucket, number in enumerate(self.delays):
            passed += number
            if total and passed >= share * total:
                return float(2**bucket / 1000)
        return None

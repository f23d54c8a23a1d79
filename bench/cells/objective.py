"""What the system has to reach, and a load that is known only while a run lasts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

_Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=10_000_000)]

# What quick offers: half of what was drained in the same run, and at least 1,000 events/s (method.md, rule 12).
DEFAULT_SHARE_OF_DRAIN = 0.5
DEFAULT_AT_LEAST_EVENTS_PER_S = 1_000.0


class OfferedLoad(Struct, frozen=True, forbid_unknown_fields=True):
    """An offered load that is known only in the run: a share of what its slowest drain reached in round 1.

    ``at_least`` in events/s: what is offered where the share comes to less.
    """

    share_of_drain: Annotated[float, Meta(gt=0, le=2)] = DEFAULT_SHARE_OF_DRAIN
    at_least: Rate = DEFAULT_AT_LEAST_EVENTS_PER_S


class Objective(Struct, frozen=True, forbid_unknown_fields=True):
    """What the system has to reach; missing it is a finding (in a probe: an answer). None: nothing is asked.

    ``rejected_share``: of the offered events, the largest share that may be rejected.
    """

    response_time_p99_ms: Annotated[float, Meta(gt=0)] | None = None
    delivery_latency_p99_ms: Annotated[float, Meta(gt=0)] | None = None
    rejected_share: _Share | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether a time is asked for."""
        return self.delivery_latency_p99_ms is not None or self.response_time_p99_ms is not None

    def words(self) -> str:
        """Say what is asked, such as ``p99 delivery latency <= 1000 ms``."""
        asked = []
        if self.delivery_latency_p99_ms is not None:
            asked.append(f"p99 delivery latency <= {self.delivery_latency_p99_ms:g} ms")
        if self.response_time_p99_ms is not None:
            asked.append(f"p99 response time <= {self.response_time_p99_ms:g} ms")
        asked.append(f"at most {self.rejected_share or 0.0:.1%} rejected")
        return ", ".join(asked)

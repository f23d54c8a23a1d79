"""The bounds that a valid repeat keeps to."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

_NotNegative = Annotated[float, Meta(ge=0)]


class Bounds(Struct, frozen=True, forbid_unknown_fields=True):
    """What a valid repeat keeps to (method.md, rule 6); the defaults are the method's, and ours where it has none.

    ``negative_duration_ms``: how far below zero a duration may be in which Kafka's record timestamp takes part.
    ``disturbed_share``: of the machine's CPU, what other programs and the host of a virtual machine may take of it.
    ``witness_tolerance_ms``: how far the witness's sighting of an event may lie from what the deliveries log says,
    beyond the time between two polls.
    ``compare_share``: the share of events whose documents the audit compares field by field.
    ``drain_window_s``: the shortest window of a drain; a shorter attempt is void, and the next one gets a larger
    backlog.
    """

    schedule_delay_p99_ms: Annotated[float, Meta(gt=0)] = 10.0
    generator_cpu_share: Annotated[float, Meta(gt=0, le=1)] = 0.8
    unsent: Annotated[int, Meta(ge=0)] = 0
    clock_drift_ms_per_s: Annotated[float, Meta(gt=0)] = 1.0
    drain_timeout_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    negative_duration_ms: _NotNegative = 1.0
    disturbed_share: Annotated[float, Meta(gt=0, le=1)] = 0.25
    witness_tolerance_ms: _NotNegative = 10.0
    compare_share: Annotated[float, Meta(ge=0.01, le=1)] = 1.0
    drain_window_s: Annotated[float, Meta(ge=0, le=3_600)] = 5.0


def changed(bounds: Bounds) -> tuple[str, ...]:
    """Return the names of the bounds that are not the method's default."""
    defaults = Bounds()
    return tuple(name for name in bounds.__struct_fields__ if getattr(bounds, name) != getattr(defaults, name))

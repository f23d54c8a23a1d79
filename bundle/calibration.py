"""What the generator can do on a machine: a run's ``calibration.json``."""

from __future__ import annotations

from msgspec import Struct

from bundle.result import Disturbance
from bundle.version import SCHEMA_VERSION


class Stair(Struct, frozen=True, kw_only=True):
    """One load of a calibration: how late requests went out, the share of a core, and events that were not sent."""

    offered_load_events_per_s: float
    requests_per_s: float
    schedule_delay_p99_ms: float | None
    cpu_share: float
    cpu_s_per_100k_events: float
    unsent: int
    holds: bool


class Calibration(Struct, frozen=True, kw_only=True):
    """What one process of the generator can do against a server that keeps nothing.

    ``highest_events_per_s``: the highest load at which it kept to the bounds that are given beside it, None where it
    never did; ``beyond``: it kept to them at the highest load that was tried. ``cpu_s_per_100k_events``: at that load.
    ``fingerprint``: of all that it depends on; a run on the same takes it over from the one before.
    """

    schema_version: int = SCHEMA_VERSION
    fingerprint: str
    measured_at: str
    took_s: float
    highest_events_per_s: float | None
    beyond: bool
    cpu_s_per_100k_events: float | None
    schedule_delay_p99_ms: float
    generator_cpu_share: float
    disturbance: Disturbance | None
    stairs: tuple[Stair, ...]

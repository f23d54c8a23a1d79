"""What a search for capacity found: a cell's ``capacity.json``."""

from __future__ import annotations

from msgspec import Struct

from bundle.version import SCHEMA_VERSION


class CapacityAnswer(Struct, frozen=True, kw_only=True):
    """The answer of the search of a capacity cell: its ``capacity.json``. Its probes are the cell's repeats.

    ``sustainable_events_per_s``: the highest offered load found sustained and confirmed, None where there is none.
    ``low`` and ``high``: the interval for the load at which the objective stops being held, at ``confidence``; None
    where the probes do not bound it on that side. ``median``: the middle of what the probes leave plausible for that
    load, None where one side has no bound, and in runs older than the field. ``ended``: how the search ended, in words.
    """

    schema_version: int = SCHEMA_VERSION
    cell: str
    objective: str
    sustainable_events_per_s: float | None
    low_events_per_s: float | None
    high_events_per_s: float | None
    confidence: float
    confirmed: bool
    ended: str
    knee_events_per_s: float | None = None
    median_events_per_s: float | None = None

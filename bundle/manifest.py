"""What a run says of itself: what was asked for, with what, on what; the content of ``manifest.json``."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bundle.result import Disturbance
from bundle.version import SCHEMA_VERSION

OWN_PIPELINE = "Tidemark"
"""The system that is measured where nothing else is said."""
LOCAL = "local"
"""The servers of a run that started its own."""
Setting = bool | int | float | str
Axes = dict[str, Any]
"""A value for each axis of a cell: a number, a text, null, or what its kind makes of it (docs/bundle.md)."""


class MatrixText(Struct, frozen=True):
    """The matrix as it was given; ``text`` is the TOML. ``objective``: what is asked, by name; None: not asked."""

    name: str = ""
    text: str = ""
    rounds: int = 0
    seed: int | None = None
    objective: dict[str, float | None] = {}


class CellPlan(Struct, frozen=True):
    """A cell as planned: its kind and the value of each axis."""

    id: str
    kind: str
    axes: Axes = {}


class Hardware(Struct, frozen=True):
    """The machine: ``cores`` are those that the run could use (0: not known), ``memory_bytes`` all that is there."""

    cpu: str = ""
    cores: int = 0
    memory_bytes: int = 0


class Variant(Struct, frozen=True):
    """What one run of an interleaved pair measures: its ``side``, base or new, and what sets it apart, as ``given``.

    ``git_revision``: that of API and workers, where they are not the harness' own; ``settings``: what was set.
    """

    side: str
    given: str
    git_revision: str | None = None
    settings: dict[str, str] = {}


class Spell(Struct, frozen=True):
    """A time at which other programs used the machine: when, which ones, and what the bench did.

    ``then``: ``waited`` until it was quiet, ``went on`` all the same, or ``stopped``.
    """

    at: str
    then: str
    found: Disturbance


class Baseline(Struct, frozen=True):
    """The run whose loads this run offers, and those loads by cell: events/s; for a drain, the events preloaded."""

    run_id: str
    loads: dict[str, float] = {}


class Stack(Struct, frozen=True):
    """Servers that the run starts: what they are made of, the cells that run on them, and the versions once known."""

    brokers: int
    coordination: str
    mongo_members: int
    kafka: dict[str, Setting]
    mongod: dict[str, Setting]
    cells: tuple[str, ...]
    versions: dict[str, str] = {}


class Manifest(Struct, frozen=True, kw_only=True):
    """What was to be measured, with what, on what.

    ``status``: running, complete or interrupted. ``stopped``: why the run ended early, in words. ``busy``: when others
    used the machine. ``tokens``: those in the names on the servers, one for each time that servers were started, or a
    session began on the user's own. ``servers``: "local", or where they are. ``stacks``: the servers that are started,
    first those of cells that do not say which; empty on the user's own. ``interleaved_with``: the other run of a pair.
    ``system``: what was measured.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str
    status: str
    command: str = ""
    started_at: str = ""
    finished_at: str | None = None
    stopped: str | None = None
    busy: tuple[Spell, ...] = ()
    tokens: tuple[str, ...] = ()
    matrix: MatrixText = MatrixText()
    bounds: dict[str, float] = {}
    changed_bounds: tuple[str, ...] = ()
    cells: tuple[CellPlan, ...] = ()
    order: tuple[tuple[str, int], ...] = ()
    git_revision: str | None = None
    git_dirty: bool | None = None
    versions: dict[str, str] = {}
    hardware: Hardware = Hardware()
    kernel: str = ""
    servers: str = ""
    stacks: tuple[Stack, ...] = ()
    interleaved_with: str | None = None
    variant: Variant | None = None
    baseline: Baseline | None = None
    system: str = OWN_PIPELINE

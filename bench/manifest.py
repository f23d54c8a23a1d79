"""What a run says of itself: what was asked for, with what, on what; ``manifest.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, structs

from bench import matrix, stackaxes
from bench.errors import BundleError
from bench.matrix import Matrix
from bench.plan import PlannedRepeat
from bench.result import SCHEMA_VERSION, Disturbance
from pipeline.local import stackspec
from pipeline.local.stackspec import Coordination, StackSpec, Value
from pipeline.settings import Settings

if TYPE_CHECKING:
    from bench.environment import Environment


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
    loads: dict[str, float]


class Stack(Struct, frozen=True):
    """Servers that the run starts: what they are made of, the cells that run on them, and the versions once known."""

    brokers: int
    coordination: str
    mongo_members: int
    kafka: dict[str, Value]
    mongod: dict[str, Value]
    cells: list[str]
    versions: dict[str, str] = {}


class Manifest(Struct, frozen=True, kw_only=True):
    """The content of ``manifest.json``.

    ``stopped``: why the run ended early, in words. ``busy``: when others used the machine. ``tokens``: those in the
    names on the servers, one for each time that servers were started, or a session began on the user's own.
    ``stacks``: the servers that are started, first those of cells that do not say which; empty on the user's own.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str
    status: str  # running, complete or interrupted
    command: str
    started_at: str
    finished_at: str | None = None
    stopped: str | None = None
    busy: list[Spell] = []
    tokens: list[str] = []
    matrix: dict[str, Any]
    bounds: dict[str, Any]
    changed_bounds: list[str]
    cells: list[dict[str, Any]]
    order: list[tuple[str, int]]
    git_revision: str | None
    git_dirty: bool | None
    versions: dict[str, str]
    hardware: dict[str, Any]
    kernel: str
    servers: str  # "local", or where they are
    stacks: list[Stack] = []
    interleaved_with: str | None = None  # the other run of the pair
    variant: Variant | None = None
    baseline: Baseline | None = None


def of(
    wanted: Matrix,
    order: Sequence[PlannedRepeat],
    *,
    run_id: str,
    environment: Environment,
    servers: str,
    command: str,
    started_at: str,
) -> Manifest:
    """Give the manifest of a run that begins. ``servers``: "local", or :func:`where` they are."""
    return Manifest(
        run_id=run_id,
        status="running",
        command=command,
        started_at=started_at,
        matrix={
            "name": wanted.name,
            "text": wanted.text,
            "rounds": wanted.rounds,
            "seed": wanted.seed,
            "objective": msgspec.to_builtins(wanted.objective),
        },
        bounds=msgspec.to_builtins(wanted.bounds),
        changed_bounds=list(matrix.changed(wanted.bounds)),
        cells=[{"id": cell.id, "kind": cell.kind, "axes": cell.axes()} for cell in wanted.cells],
        order=[(each.cell.id, each.round) for each in order],
        git_revision=environment.git_revision,
        git_dirty=environment.git_dirty,
        versions=dict(environment.versions),
        hardware=msgspec.to_builtins(environment.hardware),
        kernel=environment.kernel,
        servers=servers,
        stacks=_stacks(wanted),
    )


def _stacks(wanted: Matrix) -> list[Stack]:
    """Give the servers that a matrix needs, those of its own default first, even if no cell runs on them."""
    needed = dict.fromkeys((wanted.stack, *stackaxes.stacks_of(wanted.cells)))
    return [
        Stack(
            brokers=spec.brokers,
            coordination=spec.coordination,
            mongo_members=spec.mongo_members,
            kafka=dict(spec.kafka),
            mongod=dict(spec.mongod),
            cells=[cell.id for cell in wanted.cells if cell.stack == spec],
        )
        for spec in needed
        if spec is not None
    ]


def base_stack(told: Manifest) -> StackSpec | None:
    """Give the servers of the cells that do not say which; None where they are the user's own."""
    return _spec(told.stacks[0]) if told.stacks else None


def with_stack(told: Manifest, spec: StackSpec | None, versions: Mapping[str, str]) -> dict[str, Any]:
    """Give the fields of ``told`` that change when servers with these versions have been started.

    Nothing changes where no cell runs on them: those of the other side of a pair.
    """
    if not any(each.cells and _spec(each) == spec for each in told.stacks):
        return {}
    stacks = [structs.replace(each, versions=dict(versions)) if _spec(each) == spec else each for each in told.stacks]
    joined = dict(told.versions)
    for name in versions:
        known = [each.versions[name] for each in stacks if name in each.versions]
        joined[name] = " and ".join(dict.fromkeys(known))
    return {"stacks": stacks, "versions": joined}


def _spec(told: Stack) -> StackSpec:
    coordination = msgspec.convert(told.coordination, Coordination)
    kafka, mongod = stackspec.given(told.kafka), stackspec.given(told.mongod)
    return StackSpec(told.brokers, coordination, told.mongo_members, kafka, mongod)


def where(settings: Settings) -> str:
    """Say where servers are that the run did not start."""
    return f"{settings.kafka.bootstrap_servers} and {settings.mongo.shown_uri}"


def expect_the_same_servers(began: Manifest, *, local: bool) -> None:
    """Refuse to go on with a run of started servers on the user's own, or the other way round; raises BundleError."""
    if local == bool(began.stacks):
        return
    then, now = ("servers that it started", "yours") if began.stacks else (began.servers, "servers that it starts")
    raise BundleError(f"{began.run_id} began on {then}, and would go on on {now}: name the servers that it began on")


def expect_the_same(began: Manifest, here: Environment) -> None:
    """Refuse to go on with a run on other code or another machine: the bundle would say what is not so.

    Raises:
        BundleError: it began elsewhere; the message says where.
    """
    hardware = msgspec.to_builtins(here.hardware)
    differing = (("revision", began.git_revision, here.git_revision), ("hardware", began.hardware, hardware))
    for what, then, now in differing:
        if then is not None and now is not None and then != now:
            text = f"{began.run_id} began with the {what} {then}, and this is {now}"
            raise BundleError(f"{text}: go on with it there, or begin a new run")
    if began.git_dirty is False and here.git_dirty:
        text = f"{began.run_id} began in a clean checkout, and this one has changes"
        raise BundleError(f"{text}: put them aside (git stash), or begin a new run")

"""Makes the manifest of a run that begins, and reads it again when the run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from bench.cells import bounds
from bench.kinds import naming
from bench.matrix import stackaxes
from bench.matrix.matrix import Matrix
from bench.run.plan import PlannedRepeat
from bundle import manifest as schema
from bundle.errors import BundleError
from bundle.manifest import CellPlan, Hardware, Manifest, Stack
from pipeline.local import stackspec
from pipeline.local.stackspec import Coordination, StackSpec
from pipeline.settings import Settings

if TYPE_CHECKING:
    from bench.observe.environment import Environment


def begin(
    wanted: Matrix,
    order: Sequence[PlannedRepeat],
    *,
    run_id: str,
    environment: Environment,
    servers: str,
    command: str,
    started_at: str,
) -> Manifest:
    """Return the manifest of a run that begins. ``servers``: "local", or :func:`where` they are."""
    return Manifest(
        run_id=run_id,
        status="running",
        command=command,
        started_at=started_at,
        matrix=schema.MatrixText(
            wanted.name, wanted.text, wanted.rounds, wanted.seed, msgspec.to_builtins(wanted.objective)
        ),
        bounds=msgspec.to_builtins(wanted.bounds),
        changed_bounds=bounds.changed(wanted.bounds),
        cells=tuple(CellPlan(cell.id, cell.kind, naming.axes_of(cell)) for cell in wanted.cells),
        order=tuple((each.cell.id, each.round) for each in order),
        git_revision=environment.git_revision,
        git_dirty=environment.git_dirty,
        versions=dict(environment.versions),
        hardware=environment.hardware,
        kernel=environment.kernel,
        servers=servers,
        stacks=_stacks(wanted),
    )


def _stacks(wanted: Matrix) -> tuple[Stack, ...]:
    """Return the servers that a matrix needs, those of its own default first, even if no cell runs on them."""
    needed = dict.fromkeys((wanted.stack, *stackaxes.stacks_of(wanted.cells)))
    return tuple(
        Stack(
            brokers=spec.brokers,
            coordination=spec.coordination,
            mongo_members=spec.mongo_members,
            kafka=dict(spec.kafka),
            mongod=dict(spec.mongod),
            cells=tuple(cell.id for cell in wanted.cells if cell.stack == spec),
        )
        for spec in needed
        if spec is not None
    )


def base_stack(began: Manifest) -> StackSpec | None:
    """Return the servers of the cells that do not say which; None where they are the user's own."""
    return _spec(began.stacks[0]) if began.stacks else None


def with_stack(began: Manifest, spec: StackSpec | None, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of ``began`` that change when servers with these versions have been started.

    Nothing changes where no cell runs on them: those of the other side of a pair.
    """
    if not any(each.cells and _spec(each) == spec for each in began.stacks):
        return {}
    stacks = tuple(
        structs.replace(each, versions=dict(versions)) if _spec(each) == spec else each for each in began.stacks
    )
    joined = dict(began.versions)
    for name in versions:
        known = [each.versions[name] for each in stacks if name in each.versions]
        joined[name] = " and ".join(dict.fromkeys(known))
    return {"stacks": stacks, "versions": joined}


def _spec(began: Stack) -> StackSpec:
    coordination = msgspec.convert(began.coordination, Coordination)
    kafka, mongod = stackspec.given(began.kafka), stackspec.given(began.mongod)
    return StackSpec(began.brokers, coordination, began.mongo_members, kafka, mongod)


def _words(hardware: Hardware) -> str:
    return f"{hardware.cpu}, {hardware.cores} cores, {hardware.memory_bytes / 2**30:.1f} GB"


def where(settings: Settings) -> str:
    """Say where servers are that the run did not start."""
    return f"{settings.kafka.bootstrap_servers} and {settings.mongo.shown_uri}"


def expect_the_same_servers(began: Manifest, *, local: bool) -> None:
    """Refuse to go on with a run of started servers on the user's own, or the other way round; raises BundleError."""
    if local == bool(began.stacks):
        return
    then, now = ("servers that it started", "yours") if began.stacks else (began.servers, "servers that it starts")
    raise BundleError(f"{began.run_id} began on {then}, and would go on on {now}: name the servers that it began on")


def expect_the_same_system(began: Manifest, name: str) -> None:
    """Refuse to go on with a run with another system under test; raises BundleError."""
    if began.system != name:
        raise BundleError(
            f"{began.run_id} began with the system {began.system}, and this would go on with {name}: name the first"
        )


def expect_the_same(began: Manifest, here: Environment) -> None:
    """Refuse to go on with a run on other code or another machine: the bundle would say what is not so.

    Raises:
        BundleError: it began elsewhere; the message says where.
    """
    differing = (
        ("revision", began.git_revision, here.git_revision),
        ("hardware", _words(began.hardware), _words(here.hardware)),
    )
    for what, then, now in differing:
        if then is not None and now is not None and then != now:
            text = f"{began.run_id} began with the {what} {then}, and this is {now}"
            raise BundleError(f"{text}: go on with it there, or begin a new run")
    if began.git_dirty is False and here.git_dirty:
        text = f"{began.run_id} began in a clean checkout, and this one has changes"
        raise BundleError(f"{text}: put them aside (git stash), or begin a new run")

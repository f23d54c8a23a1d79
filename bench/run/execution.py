"""How one run is carried out: each repeat attempted, once more where it was void, the next one made ready meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from msgspec import structs

from bench import kinds
from bench.attempts import MAX_ATTEMPTS, is_finished
from bench.errors import DeadServerError, StopError
from bench.judge import derive
from bench.kinds.offer import Offer, SoFar
from bench.matrix.matrix import Matrix
from bench.observe import memory
from bench.observe.busy import Busy
from bench.run import manifest, repeat, session, storage
from bench.run.machine import Choice
from bench.run.plan import PlannedRepeat
from bench.run.progress import Display
from bench.run.ready import Ahead
from bench.run.repeatspec import RepeatSpec
from bench.targets import servers
from bench.targets.checkout import Checkout
from bench.targets.marks import Mark
from bench.targets.servers import Servers
from bench.targets.target import System
from bench.targets.tidemark import TIDEMARK
from bundle import files, writing
from bundle.capacity import CapacityAnswer
from bundle.manifest import Manifest, Spell
from bundle.result import Disturbance, Result
from bundle.writing import BundleWriter
from pipeline.errors import MissingPartError
from pipeline.local import stackspec
from pipeline.settings import Settings

_Shown = TypeVar("_Shown", Result, CapacityAnswer)
_Named = TypeVar("_Named", bound=msgspec.Struct)


@dataclass
class Run:
    """A run under way. ``code``: the checkout that API and workers run from, None for this one.

    ``side``: what it is called where another run is made beside it, nothing else. ``ceilings``: where they come from.
    ``fresh``: nothing is made ready ahead, and every repeat has Kafka and MongoDB started for it alone.
    ``busy``: what to do if others use the machine; None: nothing. ``mark``: that of this session on the servers.
    ``search_share``: of the time for all searches, what those may take that are run until now.
    ``knows_machine``: whether this session has looked at the machine for it. ``system``: what is measured.
    """

    bundle: BundleWriter
    manifest: Manifest
    matrix: Matrix
    order: tuple[PlannedRepeat, ...]
    display: Display
    settings: Settings
    local: bool
    code: Checkout | None = None
    side: str = ""
    ceilings: Choice = "auto"
    fresh: bool = False
    busy: Busy | None = None
    mark: Mark | None = None
    search_share: float = 1.0
    knows_machine: bool = False
    system: System = TIDEMARK

    def note_busy(self, found: Disturbance, then: str) -> None:
        """Record that others used the machine, and what was done about it."""
        self.write(busy=[*self.manifest.busy, Spell(writing.now(), then, found)])

    def take(self, mark: Mark) -> None:
        """Begin a session with names that no other session has."""
        self.mark = mark
        self.write(tokens=[*self.manifest.tokens, mark.token])

    def note_stack(self, started: Servers) -> None:
        """Record which versions run on the stack that was started."""
        self.write(**manifest.with_stack(self.manifest, started.spec, started.versions))

    def attempts(self, planned: PlannedRepeat) -> list[Result]:
        """Return the finished attempts at one repeat."""
        return self.bundle.attempts(planned.cell.id, planned.round)

    def write(self, **changes: object) -> None:
        """Change the manifest."""
        self.manifest = structs.replace(self.manifest, **changes)
        self.bundle.write_manifest(self.manifest)

    def shown(self, planned: PlannedRepeat) -> PlannedRepeat:
        """Return a repeat as the display calls it."""
        return planned._replace(cell=self._named(planned.cell, id=planned.cell.id)) if self.side else planned

    def as_shown(self, found: _Shown) -> _Shown:
        """Return a result or an answer as the display calls it."""
        return self._named(found, cell=found.cell) if self.side else found

    def _named(self, what: _Named, **name: str) -> _Named:
        return structs.replace(what, **{field: f"{self.side} {value}" for field, value in name.items()})


QueuedRepeat = tuple[Run, PlannedRepeat]


@dataclass(frozen=True)
class Next:
    """What comes after a repeat, if it need not be run again: it is made ready while that is audited."""

    runs: Sequence[Run]
    queue: Sequence[QueuedRepeat]
    started: Servers
    ahead: Ahead

    def begin(self, before: RepeatSpec) -> None:
        """Begin to prepare it, if it is known already; ``before`` is measured but not judged yet."""
        run, planned = next((queued for queued in self.queue if not is_done(*queued)), (None, None))
        if run is None or planned is None or planned.is_search or run.fresh:
            return
        if planned.cell.stack != self.started.spec:
            return  # its servers are not there yet
        sets_loads = kinds.named(before.identity.cell.kind).sets_loads and before.identity.round == 1
        if sets_loads and kinds.named(planned.cell.kind).shares(planned.cell):
            return  # its load is a share of what is to be judged first
        prepare(run, planned, offer(planned, self.runs), self.started, self.ahead)


class Then(Protocol):
    """What comes after a repeat: :class:`Next`, or the next probe of a search."""

    @property
    def ahead(self) -> Ahead:
        """Where it is prepared."""

    def begin(self, before: RepeatSpec) -> None:
        """Begin to prepare it, if it is known already; ``before`` is measured but not judged yet."""


def offer(planned: PlannedRepeat, runs: Sequence[Run]) -> Offer:
    """Return the offer of a repeat, as far as the results of ``runs`` decide it."""
    offered: Offer = kinds.named(planned.cell.kind).offer(planned.cell, [so_far(run) for run in runs])
    return offered


def so_far(run: Run) -> SoFar:
    """Return what is known of a run, as far as it decides what repeats offer."""
    ceilings = run.bundle.read_ceilings()
    drained = [each for each in run.bundle.results() if kinds.named(each.kind).sets_loads]
    reached = [kinds.named(each.kind).reached(each) for each in drained if each.round == 1 and each.valid]
    return SoFar(
        bounds=run.matrix.bounds,
        inserts_per_s=ceilings.inserts_per_s if ceilings else None,
        drained=drained,
        reached=[rate for rate in reached if rate],
    )


def prepare(run: Run, planned: PlannedRepeat, offered: Offer, started: Servers, ahead: Ahead) -> Path:
    """Begin to prepare the next attempt at a repeat; return its folder."""
    coming = _to_run(run, planned, offered, started)
    folder = _folder(run, coming)
    ahead.begin(coming, folder, run.display)
    return folder


async def attempt(run: Run, planned: PlannedRepeat, offered: Offer, started: Servers, then: Then | None = None) -> None:
    """Run one repeat once and write its result into the bundle, valid or void.

    Raises:
        StopError: the run ends here: a server is gone, the folder is full, or others use the machine.
    """
    session.expect_not_cancelled()
    run.display.repeat_started(run.shown(planned))
    with _servers(run, started) as own:
        to_run = _to_run(run, planned, offered, own)
        try:
            folder, result = await own.beside(_measured(run, to_run, then))
        except StopError:
            raise
        except MissingPartError as error:  # the user's own servers: the next repeats would fail too
            raise DeadServerError(str(error)) from error
        except Exception as error:  # noqa: BLE001 - whatever breaks one repeat is its result; the others go on
            session.expect_not_cancelled()
            storage.expect_room(run.bundle.path, error)
            folder = run.bundle.partial_repeat(planned.cell.id, planned.round, to_run.identity.attempt)
            result = derive.broken_down(to_run.identity, error, folder)
    storage.expect_room(run.bundle.path)
    run.bundle.finish_repeat(folder, result)
    run.display.repeat_finished(run.shown(planned), run.as_shown(result))
    memory.release()
    if run.busy is None or all(is_done(run, each) for each in run.order):
        return  # there is nothing left to wait for, or to stop
    if await run.busy.after(result) and then is not None:
        await then.ahead.drop()  # after so long a wait, its witness has given up waiting for the load


async def _measured(run: Run, to_run: RepeatSpec, then: Then | None) -> tuple[Path, Result]:
    """Run a repeat, prepared or not; return its folder and its result."""
    if run.mark is not None:
        await run.mark.renewed(to_run.longest_s)
    ready = await then.ahead.take(to_run) if then else None
    to_run = ready.repeat if ready else to_run
    folder = ready.folder if ready else _folder(run, to_run)
    on_over = partial(then.begin, to_run) if then else None
    result = await repeat.run(to_run, folder, run.display, ready=ready, on_over=on_over)
    files.encode(result)  # a result that cannot be written breaks only this repeat
    return folder, result


def _to_run(run: Run, planned: PlannedRepeat, offered: Offer, started: Servers) -> RepeatSpec:
    """Return the next attempt at a repeat."""
    number = len(run.attempts(planned)) + 1
    cell = planned.cell
    identity = derive.RepeatIdentity(
        cell=kinds.named(cell.kind).with_offer(cell, offered),
        round=planned.round,
        attempt=number,
        run_number=_run_number(run, planned, number),
        started_at=writing.now(),
        offered_load_events_per_s=offered.load_events_per_s,
        step=offered.step,
    )
    return RepeatSpec(
        identity=identity,
        name=f"{run.mark.prefix if run.mark else 'tidemark-'}{identity.run_number}",
        settings=on_servers(started, run.settings),
        server_pids=started.pids,
        traffic=run.matrix.traffic,
        seed=run.matrix.seed * 1_000 + planned.round,
        bounds=run.matrix.bounds,
        objective=run.matrix.objective_of(planned.cell),
        kafka_counters_urls=started.kafka_counters_urls,
        mongo_member_uris=started.mongo_member_uris,
        code=run.code,
        system=run.system,
    )


def _folder(run: Run, to_run: RepeatSpec) -> Path:
    """Return an empty folder for an attempt."""
    identity = to_run.identity
    return run.bundle.start_repeat(identity.cell.id, identity.round, identity.attempt)


@contextlib.contextmanager
def _servers(run: Run, started: Servers) -> Iterator[Servers]:
    """Return the servers that are there or, to a run that wants all of it anew for every repeat, some of their own."""
    if not run.fresh:
        yield started
        return
    # A folder of their own: a data folder that the settings name is that of the servers that stay up.
    settings = structs.replace(run.settings, local=structs.replace(run.settings.local, data_dir=""))
    logs = run.bundle.path / "logs" / "fresh"
    with servers.at_hand(settings, logs, lambda _: None, local=True, spec=started.spec) as own:
        yield own


def on_servers(started: Servers, settings: Settings) -> Settings:
    """Return a run's own settings on the servers that are there."""
    there = started.settings
    copies = stackspec.copies_of(started.spec) if started.spec else {}
    return structs.replace(
        settings,
        kafka=structs.replace(settings.kafka, bootstrap_servers=there.kafka.bootstrap_servers, **copies),
        mongo=structs.replace(settings.mongo, uri=there.mongo.uri),
    )


def is_done(run: Run, planned: PlannedRepeat) -> bool:
    """Say whether a repeat needs no further attempt, or a search no further probe."""
    if planned.is_search:
        return run.bundle.read_capacity(planned.cell.id) is not None
    return is_finished(run.attempts(planned))


def _run_number(run: Run, planned: PlannedRepeat, attempt: int) -> int:
    """Return every attempt of a run another number, for the ids of its events; two runs may share one."""
    start = int.from_bytes(hashlib.blake2b(run.manifest.run_id.encode(), digest_size=4).digest())
    place = planned.round - 1 if planned.is_search else 0
    for each in run.order:
        if each.cell.id == planned.cell.id and (planned.is_search or each.round == planned.round):
            break
        place += kinds.named(each.cell.kind).most_repeats(each.cell, 1)
    return (start + place * MAX_ATTEMPTS + attempt - 1) % writing.RUN_NUMBERS

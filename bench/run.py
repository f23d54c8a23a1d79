"""A whole run: the matrix's repeats in their order, each into the bundle, on servers that stay up."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import structs

from bench import bundle, capacity, derive, environment, machine, manifest, matrix, plan, repeat, servers, session
from bench.bundle import Bundle
from bench.cellspec import OfferedLoad
from bench.checkout import Checkout
from bench.environment import Environment
from bench.errors import BundleError
from bench.machine import Choice
from bench.manifest import Manifest
from bench.matrix import Matrix
from bench.plan import PlannedRepeat
from bench.progress import Display
from bench.result import MAX_ATTEMPTS, Capacity, Result, is_finished
from bench.servers import Servers
from pipeline.settings import Settings

_Told = TypeVar("_Told", Result, Capacity)
_Named = TypeVar("_Named", bound=msgspec.Struct)


@dataclass(frozen=True)
class Outcome:
    """Where the bundle is, what was found in all of its repeats, and how many attempts were void."""

    run_dir: Path
    findings: tuple[str, ...]
    void: int


def execute(
    wanted: Matrix,
    *,
    out_dir: Path,
    display: Display,
    environment: Environment,
    settings: Settings,
    local: bool,
    command: str,
    ceilings: Choice = "auto",
) -> Outcome:
    """Run a matrix into a new bundle under ``out_dir``.

    ``local``: on servers started for it; else on those of ``settings``. ``ceilings``: where they come from.

    Raises:
        BundleError: the bundle cannot be made.
        MissingPartError: Kafka or MongoDB cannot be had.
    """
    into = bundle.create(out_dir, bundle.new_run_id(wanted.name))
    order = plan.order(wanted)
    told = manifest.of(
        wanted,
        order,
        run_id=into.path.name,
        environment=environment,
        servers="local" if local else manifest.where(settings),
        command=command,
        started_at=bundle.now(),
    )
    run = Run(into, told, wanted, order, display, settings, local, ceilings=ceilings)
    return carry_out([run], [(run, planned) for planned in order])[0]


def resume(run_dir: Path, *, display: Display, settings: Settings, local: bool) -> Outcome:
    """Go on with a run that was interrupted: what is finished is not run again.

    Raises:
        BundleError: there is no run in ``run_dir``, another process works on it, it is of another schema, or it
            began with other code or on another machine.
        MissingPartError: Kafka or MongoDB cannot be had.
    """
    if not (run_dir / "manifest.json").is_file():
        raise BundleError(f"{run_dir} holds no manifest.json: name the folder of a run, such as runs/<run id>")
    into = Bundle(run_dir)
    try:
        told = into.read_manifest()
        manifest.expect_the_same(told, environment.describe())
        wanted = matrix.parse(told.matrix["text"], f"the matrix in {run_dir / 'manifest.json'}")
    except BaseException:
        into.close()
        raise
    run = Run(into, told, wanted, plan.order(wanted), display, settings, local)
    return carry_out([run], [(run, planned) for planned in run.order])[0]


@dataclass
class Run:
    """A run under way. ``code``: the checkout that API and workers run from, None for this one.

    ``side``: what it is called where another run is made beside it, nothing else. ``ceilings``: where they come from.
    """

    bundle: Bundle
    manifest: Manifest
    matrix: Matrix
    order: tuple[PlannedRepeat, ...]
    display: Display
    settings: Settings
    local: bool
    code: Checkout | None = None
    side: str = ""
    ceilings: Choice = "auto"

    def attempts(self, planned: PlannedRepeat) -> list[Result]:
        """Give the finished attempts at one repeat."""
        return self.bundle.attempts(planned.cell.id, planned.round)

    def write(self, **changes: object) -> None:
        """Change the manifest."""
        self.manifest = structs.replace(self.manifest, **changes)
        self.bundle.write_manifest(self.manifest)

    def shown(self, planned: PlannedRepeat) -> PlannedRepeat:
        """Give a repeat as the display calls it."""
        return planned._replace(cell=self._named(planned.cell, id=planned.cell.id)) if self.side else planned

    def told(self, found: _Told) -> _Told:
        """Give a result or an answer as the display calls it."""
        return self._named(found, cell=found.cell) if self.side else found

    def _named(self, what: _Named, **name: str) -> _Named:
        return structs.replace(what, **{field: f"{self.side} {value}" for field, value in name.items()})


Turn = tuple[Run, PlannedRepeat]


def carry_out(runs: Sequence[Run], order: Sequence[Turn]) -> list[Outcome]:
    """Run what is not finished of ``runs``, on the same servers, and say what was found in all of each.

    ``order``: every repeat of each. The runs share a display, and a session's logs are in the first one's bundle.
    """
    display, first = runs[0].display, runs[0]
    try:
        for run in runs:
            run.write(status="running", finished_at=None)
        read = [(run, run.bundle.read_capacity(cell.id)) for run in runs for cell in run.matrix.cells]
        searched = [run.told(capacity) for run, capacity in read if capacity]
        results = [run.told(result) for run in runs for result in run.bundle.results()]
        display.begin([run.shown(planned) for run, planned in order], results, first.bundle.path, searched)
        if not all(_is_done(*turn) for turn in order):
            try:
                logs = first.bundle.path / "logs"
                at_hand = servers.at_hand(first.settings, logs, display.note, local=first.local)
                with session.logged(logs), session.terminate_like_interrupt(), at_hand as started:
                    for run in runs:
                        run.write(versions={**run.manifest.versions, **started.versions})
                    asyncio.run(_all(runs, order, started))
            except BaseException:
                for run in runs:
                    run.write(status="interrupted")
                raise
        for run in runs:
            run.write(status="complete", finished_at=bundle.now())
        return [_outcome(run) for run in runs]
    finally:
        for run in runs:
            run.bundle.close()


def _outcome(run: Run) -> Outcome:
    results = [run.told(result) for result in run.bundle.results()]
    findings = tuple(f"{each.cell}, round {each.round}: {finding}" for each in results for finding in each.findings)
    return Outcome(run.bundle.path, findings, sum(not each.valid for each in results))


async def _all(runs: Sequence[Run], order: Sequence[Turn], started: Servers) -> None:
    """Run whatever is not finished, in the planned order; the searches together, where the first of them stands."""
    for run in runs:
        at = replace(started, settings=_on(started.settings, run.settings))
        await machine.tell(
            run.bundle, run.matrix, at, local=run.local, ceilings=run.ceilings, on_progress=run.display.note
        )
    searches = [turn for turn in order if turn[1].cell.kind == "capacity"]
    for run, planned in order:
        if planned.cell.kind == "capacity":
            await _search(runs, searches, started)
            continue
        while not _is_done(run, planned):
            await _attempt(run, planned, _events_per_s(planned.cell.offered_load, runs), started)


async def _search(runs: Sequence[Run], searches: Sequence[Turn], started: Servers) -> None:
    """Take the searches forward a probe at a time, in turn, so that drift of the machine spreads over all of them."""
    unfinished = [turn for turn in searches if not _is_done(*turn)]
    while unfinished:
        for turn in tuple(unfinished):
            run, planned = turn
            cell = planned.cell
            start_load = _events_per_s(cell.start_load, runs) or 0.0
            results = [each for each in run.bundle.results() if each.cell == cell.id]
            step = capacity.next_step(cell, start_load, results)
            if isinstance(step, capacity.NextProbe):
                await _attempt(run, PlannedRepeat(cell, step.number), step.load_events_per_s, started, step.step)
                continue
            found = capacity.conclude(cell, run.matrix.objective_of(cell), step, results)
            run.bundle.write_capacity(found)
            run.display.search_finished(run.told(found))
            unfinished.remove(turn)


async def _attempt(
    run: Run, planned: PlannedRepeat, offered_load: float | None, started: Servers, step: str = ""
) -> None:
    """Run one repeat once, and let its result appear in the bundle, whatever became of it."""
    attempt = len(run.attempts(planned)) + 1
    identity = derive.Identity(
        cell=planned.cell,
        round=planned.round,
        attempt=attempt,
        run_number=_run_number(run, planned, attempt),
        started_at=bundle.now(),
        offered_load_events_per_s=offered_load,
        step=step,
    )
    folder = run.bundle.start_repeat(planned.cell.id, planned.round, attempt)
    to_run = repeat.Repeat(
        identity=identity,
        name=f"tidemark-{run.manifest.run_id}-{identity.run_number}",
        settings=_on(started.settings, run.settings),
        server_pids=started.pids,
        traffic=run.matrix.traffic,
        seed=run.matrix.seed * 1_000 + planned.round,
        bounds=run.matrix.bounds,
        objective=run.matrix.objective_of(planned.cell),
        kafka_counters_url=started.kafka_counters_url,
        code=run.code,
    )
    run.display.repeat_started(run.shown(planned))
    try:
        result = await repeat.run(to_run, folder, run.display)
    except Exception as error:  # noqa: BLE001 - whatever breaks one repeat is its result; the others go on
        result = derive.broken_down(identity, error, folder)
    run.bundle.finish_repeat(folder, result)
    run.display.repeat_finished(run.shown(planned), run.told(result))


def _on(started: Settings, settings: Settings) -> Settings:
    """Give a run's own settings on the servers that are there."""
    return structs.replace(
        settings,
        kafka=structs.replace(settings.kafka, bootstrap_servers=started.kafka.bootstrap_servers),
        mongo=structs.replace(settings.mongo, uri=started.mongo.uri),
    )


def _is_done(run: Run, planned: PlannedRepeat) -> bool:
    """Say whether a repeat needs no further attempt, or a search no further probe."""
    if planned.cell.kind == "capacity":
        return run.bundle.read_capacity(planned.cell.id) is not None
    return is_finished(run.attempts(planned))


def _events_per_s(load: float | OfferedLoad | None, runs: Sequence[Run]) -> float | None:
    """Give a load in events/s; a share is of the slowest drain of round 1, for all cells of all runs alike."""
    if not isinstance(load, OfferedLoad):
        return load
    reached = [
        each.throughput_events_per_s
        for run in runs
        for each in run.bundle.results()
        if each.kind == "drain" and each.round == 1 and each.valid and each.throughput_events_per_s
    ]
    return float(round(max(load.share_of_drain * min(reached, default=0.0), load.at_least)))


def _run_number(run: Run, planned: PlannedRepeat, attempt: int) -> int:
    """Give every attempt of a run another number; two runs seldom share one, and never their topics."""
    start = int.from_bytes(hashlib.blake2b(run.manifest.run_id.encode(), digest_size=4).digest())
    search = planned.cell.kind == "capacity"
    place = planned.round - 1 if search else 0
    for each in run.order:
        if each.cell.id == planned.cell.id and (search or each.round == planned.round):
            break
        place += each.cell.max_probes if each.cell.kind == "capacity" else 1
    return (start + place * MAX_ATTEMPTS + attempt - 1) % bundle.RUN_NUMBERS

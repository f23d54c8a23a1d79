"""A whole run: the matrix's repeats in their order, each into the bundle, on servers that stay up."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import structs

from bench import bundle, capacity, derive, matrix, plan, repeat, servers
from bench.bundle import Bundle, Manifest
from bench.cellspec import CellSpec, OfferedLoad
from bench.environment import Environment
from bench.errors import BundleError
from bench.matrix import Matrix
from bench.plan import PlannedRepeat
from bench.progress import Display
from bench.result import MAX_ATTEMPTS, Result, is_finished
from bench.servers import Servers
from pipeline.settings import Settings


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
) -> Outcome:
    """Run a matrix into a new bundle under ``out_dir``.

    ``local``: on servers started for it; else on those of ``settings``.

    Raises:
        BundleError: the bundle cannot be made.
        MissingPartError: Kafka or MongoDB cannot be had.
    """
    run_id = bundle.new_run_id(wanted.name)
    into = bundle.create(out_dir, run_id)
    order = plan.order(wanted)
    manifest = Manifest(
        run_id=into.path.name,
        status="running",
        command=command,
        started_at=bundle.now(),
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
        servers="local" if local else f"{settings.kafka.bootstrap_servers} and {settings.mongo.uri}",
    )
    return _carry_out(_Run(into, manifest, wanted, order, display, settings, local))


def resume(run_dir: Path, *, display: Display, settings: Settings, local: bool) -> Outcome:
    """Go on with a run that was interrupted: what is finished is not run again.

    Raises:
        BundleError: there is no run in ``run_dir``, another process works on it, or it is of another schema.
        MissingPartError: Kafka or MongoDB cannot be had.
    """
    if not (run_dir / "manifest.json").is_file():
        raise BundleError(f"{run_dir} holds no manifest.json: name the folder of a run, such as runs/<run id>")
    into = Bundle(run_dir)
    try:
        manifest = into.read_manifest()
        wanted = matrix.parse(manifest.matrix["text"], f"the matrix in {run_dir / 'manifest.json'}")
    except BaseException:
        into.close()
        raise
    return _carry_out(_Run(into, manifest, wanted, plan.order(wanted), display, settings, local))


@dataclass
class _Run:
    """A run under way."""

    bundle: Bundle
    manifest: Manifest
    matrix: Matrix
    order: tuple[PlannedRepeat, ...]
    display: Display
    settings: Settings
    local: bool

    def attempts(self, planned: PlannedRepeat) -> list[Result]:
        """Give the finished attempts at one repeat."""
        return self.bundle.attempts(planned.cell.id, planned.round)

    def write(self, **changes: object) -> None:
        """Change the manifest."""
        self.manifest = structs.replace(self.manifest, **changes)
        self.bundle.write_manifest(self.manifest)


def _carry_out(run: _Run) -> Outcome:
    """Run what is not finished, and say what was found in all of it."""
    try:
        run.write(status="running", finished_at=None)
        searched = [each for each in (run.bundle.read_capacity(cell.id) for cell in run.matrix.cells) if each]
        run.display.begin(run.order, run.bundle.results(), run.bundle.path, searched)
        if not all(_is_done(run, each) for each in run.order):
            try:
                logs = run.bundle.path / "logs"
                at_hand = servers.at_hand(run.settings, logs, run.display.note, local=run.local)
                with _logged(logs), _terminate_like_interrupt(), at_hand as started:
                    run.write(versions={**run.manifest.versions, **started.versions})
                    asyncio.run(_all(run, started))
            except BaseException:
                run.write(status="interrupted")
                raise
        run.write(status="complete", finished_at=bundle.now())
        results = list(run.bundle.results())
    finally:
        run.bundle.close()
    findings = tuple(f"{each.cell}, round {each.round}: {finding}" for each in results for finding in each.findings)
    return Outcome(run.bundle.path, findings, sum(not each.valid for each in results))


async def _all(run: _Run, started: Servers) -> None:
    """Run whatever is not finished, in the planned order; the searches together, where the first of them stands."""
    searches = [planned for planned in run.order if planned.cell.kind == "capacity"]
    for planned in run.order:
        if planned in searches:
            await _search(run, searches, started)
            continue
        while not _is_done(run, planned):
            await _attempt(run, planned, _offered_load(planned.cell, run.bundle.results()), started)


async def _search(run: _Run, searches: Sequence[PlannedRepeat], started: Servers) -> None:
    """Take the searches forward a probe at a time, in turn, so that drift of the machine spreads over all of them."""
    unfinished = [planned for planned in searches if not _is_done(run, planned)]
    while unfinished:
        for planned in tuple(unfinished):
            cell = planned.cell
            start_load = _events_per_s(cell.start_load, run.bundle.results()) or 0.0
            results = [each for each in run.bundle.results() if each.cell == cell.id]
            step = capacity.next_step(cell, start_load, results)
            if isinstance(step, capacity.NextProbe):
                await _attempt(run, PlannedRepeat(cell, step.number), step.load_events_per_s, started, step.step)
                continue
            found = capacity.conclude(cell, run.matrix.objective_of(cell), step, results)
            run.bundle.write_capacity(found)
            run.display.search_finished(found)
            unfinished.remove(planned)


@contextlib.contextmanager
def _logged(folder: Path) -> Iterator[None]:
    """Keep what the libraries have to say in ``bench.log``, and off the display."""
    folder.mkdir(exist_ok=True)
    handler = logging.FileHandler(folder / "bench.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does: everything is stopped, the bundle stays resumable.

    By itself, and not by way of SIGINT, which a process started in the background ignores.
    """

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is the clean-up
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _attempt(
    run: _Run, planned: PlannedRepeat, offered_load: float | None, started: Servers, step: str = ""
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
        settings=started.settings,
        server_pids=started.pids,
        traffic=run.matrix.traffic,
        seed=run.matrix.seed * 1_000 + planned.round,
        bounds=run.matrix.bounds,
        objective=run.matrix.objective_of(planned.cell),
        kafka_counters_url=started.kafka_counters_url,
    )
    run.display.repeat_started(planned)
    try:
        result = await repeat.run(to_run, folder, run.display)
    except Exception as error:  # noqa: BLE001 - whatever breaks one repeat is its result; the others go on
        result = _failed(identity, error, folder)
    run.bundle.finish_repeat(folder, result)
    run.display.repeat_finished(planned, result)


def _failed(identity: derive.Identity, error: Exception, folder: Path) -> Result:
    told = f"{type(error).__name__}: {error}".replace(f"{folder}/", "")  # it will not be called so any more
    return Result(
        cell=identity.cell.id,
        kind=identity.cell.kind,
        axes=identity.cell.axes(),
        round=identity.round,
        attempt=identity.attempt,
        run_number=identity.run_number,
        started_at=identity.started_at,
        valid=False,
        reasons=["the repeat broke down before it could be measured"],
        findings=[f"crash: {told}"],
        offered_load_events_per_s=identity.offered_load_events_per_s,
    )


def _is_done(run: _Run, planned: PlannedRepeat) -> bool:
    """Say whether a repeat needs no further attempt, or a search no further probe."""
    if planned.cell.kind == "capacity":
        return run.bundle.read_capacity(planned.cell.id) is not None
    return is_finished(run.attempts(planned))


def _offered_load(cell: CellSpec, results: Iterator[Result]) -> float | None:
    """Give what a steady cell offers, in events/s; None for a drain."""
    return _events_per_s(cell.offered_load, results)


def _events_per_s(load: float | OfferedLoad | None, results: Iterator[Result]) -> float | None:
    """Give a load in events/s; a share is of the slowest drain of round 1, for all cells alike."""
    if not isinstance(load, OfferedLoad):
        return load
    reached = [
        each.throughput_events_per_s
        for each in results
        if each.kind == "drain" and each.round == 1 and each.valid and each.throughput_events_per_s
    ]
    return float(round(max(load.share_of_drain * min(reached, default=0.0), load.at_least)))


def _run_number(run: _Run, planned: PlannedRepeat, attempt: int) -> int:
    """Give every attempt of a run another number; two runs seldom share one, and never their topics."""
    start = int.from_bytes(hashlib.blake2b(run.manifest.run_id.encode(), digest_size=4).digest())
    search = planned.cell.kind == "capacity"
    place = planned.round - 1 if search else 0
    for each in run.order:
        if each.cell.id == planned.cell.id and (search or each.round == planned.round):
            break
        place += each.cell.max_probes if each.cell.kind == "capacity" else 1
    return (start + place * MAX_ATTEMPTS + attempt - 1) % bundle.RUN_NUMBERS

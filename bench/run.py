"""A whole run: the matrix's repeats in their order, each into the bundle, on servers that stay up."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import structs

from bench import bundle, derive, matrix, plan, repeat, servers
from bench.bundle import Bundle, Manifest
from bench.cellspec import CellSpec, OfferedLoad
from bench.environment import Environment
from bench.errors import BundleError
from bench.matrix import Matrix
from bench.plan import PlannedRepeat
from bench.progress import Display
from bench.result import Result
from bench.servers import Servers
from pipeline.settings import Settings

MAX_ATTEMPTS = 3  # a void repeat is replaced at most twice


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
        run.display.begin(run.order, run.bundle.results(), run.bundle.path)
        if not all(_is_finished(run.attempts(each)) for each in run.order):
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
    """Run whatever is not finished, in the planned order."""
    for planned in run.order:
        while not _is_finished(run.attempts(planned)):
            await _attempt(run, planned, started)


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


async def _attempt(run: _Run, planned: PlannedRepeat, started: Servers) -> None:
    """Run one repeat once, and let its result appear in the bundle, whatever became of it."""
    attempt = len(run.attempts(planned)) + 1
    identity = derive.Identity(
        cell=planned.cell,
        round=planned.round,
        attempt=attempt,
        run_number=_run_number(run, planned, attempt),
        started_at=bundle.now(),
        offered_load_events_per_s=_offered_load(planned.cell, run.bundle.results()),
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
        objective=run.matrix.objective,
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


def _is_finished(attempts: list[Result]) -> bool:
    """Say whether a repeat needs no further attempt: one counts, or it was void often enough."""
    return any(each.valid or each.findings for each in attempts) or len(attempts) >= MAX_ATTEMPTS


def _offered_load(cell: CellSpec, results: Iterator[Result]) -> float | None:
    """Give what a steady cell offers, in events/s; a share is of the slowest drain of round 1, for all cells alike."""
    if not isinstance(cell.offered_load, OfferedLoad):
        return cell.offered_load
    reached = [
        each.throughput_events_per_s
        for each in results
        if each.kind == "drain" and each.round == 1 and each.valid and each.throughput_events_per_s
    ]
    share = cell.offered_load.share_of_drain * min(reached, default=0.0)
    return float(round(max(share, cell.offered_load.at_least)))


def _run_number(run: _Run, planned: PlannedRepeat, attempt: int) -> int:
    """Give every attempt of a run another number; two runs seldom share one, and never their topics."""
    start = int.from_bytes(hashlib.blake2b(run.manifest.run_id.encode(), digest_size=4).digest())
    place = run.order.index(planned) * MAX_ATTEMPTS + attempt - 1
    return (start + place) % bundle.RUN_NUMBERS

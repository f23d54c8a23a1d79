"""A whole run: the matrix's repeats in their order, each into the bundle, on the servers that its cell needs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from bench.cells.axes import STACK_AXES
from bench.errors import BusyError, StopError
from bench.matrix import baseline, matrix, stackaxes
from bench.matrix.matrix import Matrix
from bench.observe import environment
from bench.observe.benchlock import alone
from bench.observe.busy import Busy, WhenBusy
from bench.observe.environment import Environment
from bench.run import machine, manifest, measurable, plan, searching, session, storage
from bench.run.execution import Next, QueuedRepeat, Run, attempt, is_done, offer, on_servers
from bench.run.machine import Choice
from bench.run.progress import Display
from bench.run.ready import Ahead
from bench.run.stacks import Stacks
from bench.targets.servers import Servers
from bench.targets.target import System
from bench.targets.tidemark import TIDEMARK
from bundle import writing
from bundle.errors import BundleError
from bundle.manifest import Baseline
from bundle.result import Disturbance
from bundle.writing import BundleWriter
from pipeline.errors import UsageError
from pipeline.settings import Settings


@dataclass(frozen=True)
class RunOutcome:
    """Where the bundle is. ``stopped``: why the run ended early; None if it did not."""

    run_dir: Path
    stopped: StopError | None = None


def execute(  # noqa: PLR0913 - each is one thing that is asked for of a run
    wanted: Matrix,
    *,
    out_dir: Path,
    display: Display,
    environment: Environment,
    settings: Settings,
    local: bool,
    command: str,
    ceilings: Choice = "auto",
    when_busy: WhenBusy = "stop",
    loads: Baseline | None = None,
    system: System = TIDEMARK,
) -> RunOutcome:
    """Run a matrix into a new bundle under ``out_dir``.

    ``local``: on servers started for it; else on those of ``settings``. ``ceilings``: where they come from.
    ``when_busy``: what to do if others use the machine.
    ``loads``: those of another run, instead of those that this run would find. ``system``: what is measured.

    Raises:
        BundleError, StorageError: the bundle cannot be created, or no longer be written.
        DeadServerError: a server has ended.
        MissingPartError: Kafka or MongoDB cannot be had.
        UsageError: ceilings are asked for, and the cells run on several kinds of servers; or ``system`` does not report
            what a cell rests on.
    """
    measurable.expect(wanted.cells, system)
    if ceilings in ("always", "parts") and len(stackaxes.stacks_of(wanted.cells)) > 1:
        text = f"--ceilings {ceilings} cannot be used with {wanted.name!r}: its cells run on several kinds of servers"
        raise UsageError(f"{text}, and ceilings are of one; leave it out, or fix {', '.join(STACK_AXES)} and [servers]")
    with storage.explained(out_dir):
        into = writing.create(out_dir, writing.new_run_id(wanted.name))
    asked = baseline.applied(wanted, loads)
    order = plan.order(asked)
    written = manifest.begin(
        wanted,
        order,
        run_id=into.path.name,
        environment=environment,
        servers="local" if local else manifest.where(settings),
        command=command,
        started_at=writing.now(),
    )
    written = structs.replace(written, baseline=loads, system=system.name)
    run = Run(into, written, asked, order, display, settings, local, ceilings=ceilings, system=system)
    return carry_out([run], [(run, planned) for planned in order], when_busy)[0]


def resume(
    run_dir: Path,
    *,
    display: Display,
    settings: Settings,
    local: bool,
    when_busy: WhenBusy = "stop",
    system: System = TIDEMARK,
) -> RunOutcome:
    """Go on with a run that was interrupted: what is finished is not run again.

    Raises:
        BundleError: there is no run in ``run_dir``, another process works on it, it is of another schema, or it
            began with other code, on another machine or with another system.
        MissingPartError: Kafka or MongoDB cannot be had.
    """
    if not (run_dir / "manifest.json").is_file():
        raise BundleError(f"{run_dir} holds no manifest.json: name the folder of a run, such as runs/<run id>")
    with storage.explained(run_dir):
        into = BundleWriter(run_dir)
    try:
        written = into.read_manifest()
        manifest.expect_the_same(written, environment.describe())
        source = f"the matrix in {run_dir / 'manifest.json'}"
        wanted = matrix.parse(written.matrix.text, source, stack=manifest.base_stack(written))
        manifest.expect_the_same_servers(written, local=local)
        manifest.expect_the_same_system(written, system.name)
        wanted = baseline.applied(wanted, written.baseline)
    except BaseException:
        into.close()
        raise
    run = Run(into, written, wanted, plan.order(wanted), display, settings, local, system=system)
    return carry_out([run], [(run, planned) for planned in run.order], when_busy)[0]


def carry_out(runs: Sequence[Run], order: Sequence[QueuedRepeat], when_busy: WhenBusy = "stop") -> list[RunOutcome]:
    """Run what is not finished of ``runs``, on the same servers, and return where each is.

    ``order``: every repeat of each. The runs share a display, and a session's logs are in the first one's bundle.
    If it stops because others use the machine, the outcome has what is finished, and the reason.

    Raises:
        StorageError, DeadServerError: it cannot go on; the runs can be resumed.
        MissingPartError: Kafka or MongoDB cannot be had.
    """
    display, first = runs[0].display, runs[0]
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.callback(run.bundle.close)
        stack.enter_context(storage.explained(first.bundle.path))
        for run in runs:
            run.write(status="running", finished_at=None, stopped=None)
        read = [(run, run.bundle.read_capacity(cell.id)) for run in runs for cell in run.matrix.cells]
        searched = [run.as_shown(capacity) for run, capacity in read if capacity]
        results = [run.as_shown(result) for run in runs for result in run.bundle.results()]
        within_s = [run.matrix.search_s for run in runs if run.matrix.search_s is not None]
        shown = [run.shown(planned) for run, planned in order]
        display.begin(shown, results, first.bundle.path, searched, sum(within_s) if within_s else None)
        if not all(is_done(*turn) for turn in order):
            try:
                _session(runs, order, when_busy)
            except BaseException as error:
                why = str(error).splitlines()[0] if isinstance(error, StopError) else None
                with contextlib.suppress(OSError):  # the error about a full folder is raised already
                    for run in runs:
                        run.write(status="interrupted", stopped=why)
                if not isinstance(error, BusyError):
                    raise
                return [RunOutcome(run.bundle.path, error) for run in runs]
        for run in runs:
            run.write(status="complete", finished_at=writing.now())
        return [RunOutcome(run.bundle.path) for run in runs]


def _session(runs: Sequence[Run], order: Sequence[QueuedRepeat], when_busy: WhenBusy) -> None:
    """Run what is not finished, alone on this machine and, if asked to, only while it is quiet."""
    display, first = runs[0].display, runs[0]
    allowed = min(run.matrix.bounds.disturbed_share for run in runs)
    with contextlib.ExitStack() as stack:
        logs = first.bundle.path / "logs"
        stack.enter_context(session.logged(logs))
        stack.enter_context(session.terminate_like_interrupt())

        def note(found: Disturbance, then: str) -> None:
            for run in runs:
                run.note_busy(found, then)

        busy = Busy(when_busy, allowed, display.note, note)
        stack.enter_context(alone(str(first.bundle.path), busy))
        for run in runs:
            run.busy = busy
        session.run(_all(runs, order, logs))


async def _all(runs: Sequence[Run], order: Sequence[QueuedRepeat], logs: Path) -> None:
    """Run whatever is not finished, in the planned order, each repeat on the servers of its cell."""
    ahead = Ahead()
    stacks = Stacks(runs, logs, ahead)
    try:
        stacks.expect_startable([planned.cell for run, planned in order if not is_done(run, planned)])
        for place, (run, planned) in enumerate(order):
            if is_done(run, planned):
                continue
            started = await stacks.at(planned.cell.stack)
            await _record_machine(runs, started)
            if planned.is_search:
                await _search(runs, order, started, ahead)
                continue
            then = Next(runs, order[place + 1 :], started, ahead)
            while not is_done(run, planned):
                await attempt(run, planned, offer(planned, runs), started, then)
    finally:
        await stacks.leave()


async def _record_machine(runs: Sequence[Run], started: Servers) -> None:
    """Let each bundle hold what can be known of the machine before the first repeat; once in a session.

    Of several stacks none has ceilings: those of one would be held against the cells of the others.
    """
    several = len(stackaxes.stacks_of(cell for run in runs for cell in run.matrix.cells)) > 1
    for run in runs:
        if not run.knows_machine:
            choice: Choice = "never" if several else run.ceilings
            own = replace(started, settings=on_servers(started, run.settings))
            await machine.record(
                run.bundle, run.matrix, own, local=run.local, ceilings=choice, on_progress=run.display.note
            )
            run.knows_machine = True


async def _search(runs: Sequence[Run], order: Sequence[QueuedRepeat], started: Servers, ahead: Ahead) -> None:
    """Run the searches that run on the servers that are there, together; those on others have their own time."""
    searches = [turn for turn in order if turn[1].is_search]
    here = [turn for turn in searches if turn[1].cell.stack == started.spec]
    for run in runs:
        run.search_share = searching.share_of(here, searches)
    await searching.search(runs, here, started, ahead)

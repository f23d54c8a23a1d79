"""A whole run: the matrix's repeats in their order, each into the bundle, on servers that stay up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import bundle, environment, machine, manifest, matrix, plan, searching, servers, session
from bench.bundle import Bundle
from bench.environment import Environment
from bench.errors import BundleError
from bench.machine import Choice
from bench.matrix import Matrix
from bench.progress import Display
from bench.ready import Ahead
from bench.servers import Servers
from bench.turns import Next, Run, Turn, attempt, is_done, offer, on_servers
from pipeline.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """Where the bundle is."""

    run_dir: Path


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


def carry_out(runs: Sequence[Run], order: Sequence[Turn]) -> list[Outcome]:
    """Run what is not finished of ``runs``, on the same servers, and return where each is.

    ``order``: every repeat of each. The runs share a display, and a session's logs are in the first one's bundle.
    """
    display, first = runs[0].display, runs[0]
    try:
        for run in runs:
            run.write(status="running", finished_at=None)
        read = [(run, run.bundle.read_capacity(cell.id)) for run in runs for cell in run.matrix.cells]
        searched = [run.told(capacity) for run, capacity in read if capacity]
        results = [run.told(result) for run in runs for result in run.bundle.results()]
        within_s = [run.matrix.search_s for run in runs if run.matrix.search_s is not None]
        shown = [run.shown(planned) for run, planned in order]
        display.begin(shown, results, first.bundle.path, searched, sum(within_s) if within_s else None)
        if not all(is_done(*turn) for turn in order):
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
        return [Outcome(run.bundle.path) for run in runs]
    finally:
        for run in runs:
            run.bundle.close()


async def _all(runs: Sequence[Run], order: Sequence[Turn], started: Servers) -> None:
    """Run whatever is not finished, in the planned order; the searches together, where the first of them stands."""
    for run in runs:
        at = replace(started, settings=on_servers(started.settings, run.settings))
        await machine.tell(
            run.bundle, run.matrix, at, local=run.local, ceilings=run.ceilings, on_progress=run.display.note
        )
    searches = [turn for turn in order if turn[1].cell.kind == "capacity"]
    ahead = Ahead()
    try:
        for place, (run, planned) in enumerate(order):
            if planned.cell.kind == "capacity":
                await searching.search(runs, searches, started, ahead)
                continue
            then = Next(runs, order[place + 1 :], started, ahead)
            while not is_done(run, planned):
                await attempt(run, planned, offer(planned, runs), started, then)
    finally:
        await ahead.drop()

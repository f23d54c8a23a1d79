"""``./tidemark perf``: the working tree against a git revision. What to compare with, and the steps of both timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from bench.experiments import steptimes
from bench.experiments.steptimes import StepsRequest, StepTimes
from bench.observe.benchlock import only_one
from bench.observe.busy import WhenBusy
from bench.run import session
from bench.targets import checkout
from bench.targets.checkout import ROOT
from pipeline.errors import MissingPartError, UsageError

MATRIX = "perf"
ROUNDS = 12
"""Of the steps: one verdict among thirteen takes ten."""
MEASURED = ("pipeline", "traffic", "loadtest", "bench/recorder")
_NAMED = 6


@dataclass(frozen=True)
class Against:
    """What the working tree is compared with. ``worthwhile``: there is something to find, or it is asked for anyway."""

    commit: str
    title: str
    lines: tuple[str, ...]
    worthwhile: bool


def against(given: str | None, *, anyway: bool) -> Against:
    """Find the revision to compare with: ``given``, or HEAD with changes of one's own on it, else what came before.

    Raises:
        UsageError: there is no such revision.
        MissingPartError: there is no git, or no checkout.
    """
    name = given or ("HEAD" if checkout.is_changed(MEASURED) else "HEAD~1")
    commit = _commit_of(name)
    shown = checkout.title_of(commit)
    changed = checkout.changed_since(commit, MEASURED)
    lines = [f"BASE is {name} ({shown}), NEW the working tree."]
    if changed:
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        lines.append(f"What differs: {', '.join(changed[:_NAMED])}{more}.")
    else:
        lines.append(f"Nothing in {' and '.join(MEASURED)} differs.")
        if not anyway:
            lines.append("There is nothing to measure: name another revision, or see the noise with --anyway.")
    return Against(commit, f"working tree against {name} ({shown})", tuple(lines), bool(changed) or anyway)


def timed(
    asked: Against, rounds: int | None, names: Sequence[str], console: Console, when_busy: WhenBusy
) -> tuple[StepTimes, ...]:
    """Time the steps in both, while no other bench works on this machine.

    Raises:
        BusyError: another bench does.
        UsageError: there is no such step.
        MissingPartError: the revision cannot be checked out.
        ProcessFailedError: the steps could not be timed.
    """
    number = rounds or ROUNDS
    with (
        session.terminate_like_interrupt(),
        only_one("the steps of perf", when_busy, console.print),
        console.status("checking out") as status,
        checkout.checked_out(asked.commit) as base,
    ):
        status.update(f"timing steps, {number} rounds")
        wanted = StepsRequest(base.folder if base else ROOT, ROOT, number, tuple(names))
        return steptimes.measure(wanted, lambda done: status.update(f"timing steps, round {done} of {number} done"))


def _commit_of(name: str) -> str:
    try:
        return checkout.commit_of(name)
    except MissingPartError as error:
        why = "it is the only commit here" if name == "HEAD~1" else f"git says: {error}"
        raise UsageError(f"there is no git revision {name!r} in {checkout.ROOT} ({why}): name another one") from error

"""``./tidemark bench``: plan, run or resume a matrix, compare runs or revisions, ask for advice, measure ceilings."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs
from rich.console import Console

from bench.cli import arguments
from bench.cli.arguments import KAFKA, MONGO
from bench.matrix import matrix
from bench.observe import environment
from bench.run import plan
from bench.run.progress import Display
from bundle.errors import BundleError
from pipeline import settings
from pipeline.errors import TidemarkError, UsageError
from pipeline.local import stackspec
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Settings

if TYPE_CHECKING:
    from bench.observe.busy import WhenBusy
    from bench.run.run import RunOutcome

EXIT_DONE, EXIT_CRASH, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED = 0, 3, 4, 130


def main(given: Sequence[str] | None = None) -> int:
    """Run the command line ``given`` and return its exit code."""
    chosen = _parser().parse_args(given)
    command: Callable[[argparse.Namespace], int] = chosen.function
    try:
        return command(chosen)
    except (TidemarkError, BundleError) as error:
        _complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the edge of the process: whatever it is, it is shown, and has its exit code
        traceback.print_exc()
        _complain("a crash of its own; the lines above say where")
        return EXIT_CRASH


def _complain(text: str) -> None:
    sys.stderr.write("bench:" + ("\n" if "\n" in text else " ") + text + "\n")  # of several lines each stands alone


def _plan(chosen: argparse.Namespace) -> int:
    base, local = _settings(chosen)
    wanted = matrix.load(chosen.matrix, api=base.api, stack=_stack(base, local=local))
    plan.refuse_above(wanted.name, plan.whole_s(wanted), chosen.max_minutes)
    Console(highlight=False).print(plan.describe(wanted))
    return EXIT_DONE


def _run(chosen: argparse.Namespace) -> int:
    # These import numpy, Arrow and client libraries; plan and --help need none of them.
    from bench.matrix import baseline  # noqa: PLC0415
    from bench.run import run  # noqa: PLC0415
    from bench.targets import servers  # noqa: PLC0415

    base, local = _settings(chosen)
    stack = _stack(base, local=local)
    wanted = matrix.load(chosen.matrix, api=base.api, nodes=servers.nodes(base, local=local), stack=stack)
    loads = baseline.read(baseline.find(chosen.baseline, Path(chosen.out)), wanted) if chosen.baseline else None
    plan.refuse_above(wanted.name, plan.whole_s(wanted), chosen.max_minutes)
    command = ["./tidemark", "bench", chosen.matrix, *(["--keep-data"] if chosen.keep_data else [])]
    command += [] if chosen.ceilings == "auto" else ["--ceilings", chosen.ceilings]
    command += ["--baseline", chosen.baseline] if chosen.baseline else []
    command += _server_options(chosen)
    with _display(chosen) as display:
        outcome = run.execute(
            wanted,
            out_dir=Path(chosen.out),
            display=display,
            environment=environment.describe(),
            settings=base,
            local=local,
            command=shlex.join(command),
            ceilings=chosen.ceilings,
            when_busy=_when_busy(chosen),
            loads=loads,
        )
    return _finish(chosen, outcome)


def _resume(chosen: argparse.Namespace) -> int:
    from bench.experiments import interleaved  # noqa: PLC0415 - as above
    from bench.run import run  # noqa: PLC0415 - as above

    base, local = _settings(chosen)
    run_dir = Path(chosen.run)
    if not run_dir.exists() and (Path(chosen.out) / chosen.run).is_dir():
        run_dir = Path(chosen.out) / chosen.run
    if not interleaved.is_pair(run_dir):
        with _display(chosen) as display:
            when_busy = _when_busy(chosen)
            outcome = run.resume(run_dir, display=display, settings=base, local=local, when_busy=when_busy)
        return _finish(chosen, outcome)
    with _display(chosen) as display:
        when_busy = _when_busy(chosen)
        pair = interleaved.resume(run_dir, display=display, base=base, local=local, when_busy=when_busy)
    measured = _print_pair(display, pair)
    display.note(f"compare them: ./tidemark bench compare {_shown(pair[0].run_dir)} {_shown(pair[1].run_dir)}")
    return measured


def _compare(chosen: argparse.Namespace) -> int:
    if not 0 <= chosen.floor < chosen.effect:
        options = f"--floor {chosen.floor:.3g} and --effect {chosen.effect:.3g}"
        raise UsageError(f"{options} cannot be used: an effect that is to be shown has to be larger than the floor")
    if chosen.ab is None and chosen.rounds is not None:
        raise UsageError("--rounds is for --ab: the rounds of runs that are there are theirs")
    # What reads bundles is named here and lives in reports; it brings pandas and matplotlib.
    from reports.comparison import command  # noqa: PLC0415
    from reports.ratios import outcome  # noqa: PLC0415

    rules = outcome.Rules(floor=chosen.floor, effect=chosen.effect, cpu=chosen.cpu, strict=chosen.strict)
    files = command.Files(page=chosen.html, markdown=chosen.markdown, json=chosen.json)
    if chosen.ab is None:
        return command.compare(chosen.base, chosen.new, Path(chosen.runs), rules, files)
    measured, base, new = _interleave(chosen)
    return command.compare(base, new, Path(chosen.runs), rules, files) or measured


def _perf(chosen: argparse.Namespace) -> int:
    from bench.experiments import perf  # noqa: PLC0415 - as above

    asked = perf.against(chosen.base, anyway=chosen.anyway)
    console = Console(highlight=False)
    for line in asked.lines:
        console.print(line, soft_wrap=True)
    if not asked.worthwhile:
        return EXIT_DONE
    from reports.comparison import command, revisions  # noqa: PLC0415 - as above
    from reports.ratios import outcome  # noqa: PLC0415 - as above

    effect = max(chosen.effect, 2 * chosen.floor)
    rules = outcome.Rules(floor=chosen.floor, effect=effect, cpu=True, strict=chosen.strict)
    steps = revisions.judged(perf.timed(asked, chosen.rounds, chosen.steps, console, _when_busy(chosen)), rules)
    files = command.Files(markdown=chosen.markdown, json=chosen.json)
    if chosen.quick or chosen.steps:
        return revisions.finish(asked.title, steps, None, files)
    chosen.ab, chosen.base, chosen.new = perf.MATRIX, asked.commit, "."
    measured, base, new = _interleave(chosen)
    return revisions.finish(asked.title, steps, (Path(base), Path(new)), files) or measured


def _interleave(chosen: argparse.Namespace) -> tuple[int, str, str]:
    """Measure both variants; return the exit code so far and both runs' folders."""
    from bench.experiments import interleaved  # noqa: PLC0415 - as above
    from bench.targets import servers  # noqa: PLC0415 - as above

    base, local = _settings(chosen)
    asked = interleaved.ComparisonRequest(
        chosen.ab, chosen.base, chosen.new, chosen.rounds, tuple(_server_options(chosen))
    )
    nodes = servers.nodes(base, local=local)
    sides = interleaved.sides_of(asked, os.environ, base, nodes, stack=_stack(base, local=local))
    plan.refuse_above(sides[0].matrix.name, interleaved.whole_s(sides), chosen.max_minutes)
    with _display(chosen) as display:
        pair = interleaved.execute(
            asked,
            sides,
            out_dir=Path(chosen.runs),
            display=display,
            environment=environment.describe(),
            local=local,
            when_busy=_when_busy(chosen),
        )
    return _print_pair(display, pair), str(pair[0].run_dir), str(pair[1].run_dir)


def _advise(chosen: argparse.Namespace) -> int:
    from reports.advice import planner  # noqa: PLC0415 - as above

    return planner.advise(chosen.run, Path(chosen.runs), chosen.target, chosen.objective, chosen.json)


def _ceilings(chosen: argparse.Namespace) -> int:
    from bench.cli import ceilings  # noqa: PLC0415 - as above

    base, local = _settings(chosen)
    wanted = ceilings.Wanted(chosen.rounds, chosen.matrix, chosen.parts, chosen.only, chosen.json, _when_busy(chosen))
    ceilings.run(wanted, base, local=local)
    return EXIT_DONE


def _clean(chosen: argparse.Namespace) -> int:
    base, local = _settings(chosen)
    if local:
        raise UsageError(f"there are no servers to clean: set {KAFKA} and {MONGO} to yours")
    from bench.targets import cleaning  # noqa: PLC0415 - as above

    cleaning.clean(base, Console(highlight=False, soft_wrap=True).print, dry_run=chosen.dry_run)
    return EXIT_DONE


@contextlib.contextmanager
def _display(chosen: argparse.Namespace) -> Iterator[Display]:
    """A display for the run; if the run is cut short, its last line says how to continue."""
    with Display(plain=chosen.plain or os.environ.get("CI", "").lower() in ("1", "true")) as display:
        try:
            yield display
        except BaseException as error:
            display.close()
            if display.run_dir is not None:
                display.note(_what_is_left(display.run_dir, display.results, error))
            raise


def _what_is_left(run_dir: Path, results: Sequence[object], error: BaseException) -> str:
    """Say how to go on with a run that was cut short, or that nothing of it is worth that."""
    if isinstance(error, UsageError) and not results:  # it would meet the same error
        return f"nothing was measured; what the servers printed is in {_shown(run_dir / 'logs')}"
    return f"finished repeats are kept; continue with: ./tidemark bench resume {_shown(run_dir)}"


def _shown(folder: Path) -> str:
    """A folder as one word of a command that is printed."""
    return shlex.quote(str(folder))


def _finish(chosen: argparse.Namespace, outcome: RunOutcome) -> int:
    """Write the report if asked to, print the run's answer, and return the exit code of both."""
    from reports.__main__ import main as report  # noqa: PLC0415 - it brings pandas, and matplotlib for the report

    code = report([str(outcome.run_dir), *([] if chosen.report else ["--print"])])
    stopped = _stopped(outcome)
    return code or stopped  # findings of the part that was measured stay findings


def _print_pair(display: Display, pair: Sequence[RunOutcome]) -> int:
    """Print where both runs are and return the exit code so far; the comparison judges what they found."""
    for outcome in pair:
        display.note(f"run folder: {outcome.run_dir}")
    if pair[0].stopped is not None:
        display.note(f"stopped: {pair[0].stopped}")
        return _stopped(pair[0])
    return EXIT_DONE if any(result.valid for result in display.results) else EXIT_INCONCLUSIVE


def _stopped(outcome: RunOutcome) -> int:
    """Print how to continue a stopped run and return its exit code; 0 if it was not stopped."""
    if outcome.stopped is None:
        return EXIT_DONE
    go_on = f"when the machine is quiet, continue with: ./tidemark bench resume {_shown(outcome.run_dir)}"
    Console(highlight=False, markup=False, soft_wrap=True).print(go_on)
    return outcome.stopped.exit_code


def _when_busy(chosen: argparse.Namespace) -> WhenBusy:
    asked: WhenBusy | None = chosen.when_busy
    return asked or "ask"


def _settings(chosen: argparse.Namespace) -> tuple[Settings, bool]:
    """The settings, and whether servers are to be started on this machine."""
    base = settings.load(os.environ)
    default = Settings()
    kafka = KAFKA in os.environ or base.kafka.bootstrap_servers != default.kafka.bootstrap_servers
    mongo = MONGO in os.environ or base.mongo.uri != default.mongo.uri
    if kafka != mongo:
        given, missing = (KAFKA, MONGO) if kafka else (MONGO, KAFKA)
        raise UsageError(f"{given} is set and {missing} is not: set both, or neither to have servers started here")
    own: dict[str, object] = {
        name: value for name in arguments.STACK if (value := getattr(chosen, name, None)) is not None
    }
    if own and kafka:
        options = ", ".join(_option(name) for name in own)
        raise UsageError(f"{options} can be chosen only for servers that are started here: unset {KAFKA} and {MONGO}")
    if getattr(chosen, "keep_data", False):
        own["keep_data"] = True
    return structs.replace(base, local=structs.replace(base.local, **own)), not kafka


def _stack(base: Settings, *, local: bool) -> StackSpec | None:
    """Return the servers that are started where a matrix does not say others; None if they are the user's own."""
    if not local:
        return None
    found = stackspec.from_settings(base.local)
    wrong = list(stackspec.problems(found))
    if wrong:
        raise UsageError("the servers cannot be started so: " + "; ".join(wrong))
    return found


def _server_options(chosen: argparse.Namespace) -> list[str]:
    """Return the options that say which servers are started, as they were given."""
    given = [(name, getattr(chosen, name, None)) for name in arguments.STACK]
    return [text for name, value in given if value is not None for text in (_option(name), str(value))]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parser() -> argparse.ArgumentParser:
    return arguments.parser(
        {
            "plan": _plan,
            "run": _run,
            "resume": _resume,
            "compare": _compare,
            "advise": _advise,
            "perf": _perf,
            "ceilings": _ceilings,
            "clean": _clean,
        }
    )


if __name__ == "__main__":
    sys.exit(main())

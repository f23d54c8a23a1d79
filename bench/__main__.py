"""``python -m bench``: plan a matrix, run it, go on with an interrupted run, compare two runs, ask one for advice."""

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

from msgspec import structs
from rich.console import Console

from bench import environment, matrix, plan
from bench.closing import closing
from bench.progress import Display
from pipeline import settings
from pipeline.errors import TidemarkError, UsageError
from pipeline.settings import Settings

EXIT_DONE, EXIT_FINDING, EXIT_USAGE, EXIT_CRASH, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

_KAFKA, _MONGO = settings.PREFIX + "KAFKA_BOOTSTRAP_SERVERS", settings.PREFIX + "MONGO_URI"
_MATRIX_HELP = "a TOML file, or the name of one that comes with Tidemark: {names}"
_EXIT_CODES = f"""
exit codes:
  0    done, and nothing was found
  1    done, and something was found: events lost or stored twice, the objective missed, a crash of a part;
       or no repeat at all is valid
  2    bad usage, or a part is missing
  3    a crash of its own
  130  interrupted; the run can be resumed

servers: {_KAFKA} and {_MONGO} name servers of your own (both, or
neither); without them a Kafka and a MongoDB are started on this machine for the run, and stopped after it.
"""
_EXAMPLES = {
    "": """
examples:
  python -m bench plan quick
  python -m bench run smoke
  python -m bench run my-matrix.toml --out runs
  python -m bench resume runs/20261122-101500-quick
  python -m bench compare runs/20261122-101500-quick runs/20261122-111500-quick
""",
    "plan": """
examples:
  python -m bench plan quick
  python -m bench plan full --max-minutes 75      exit code 2 if it takes longer
""",
    "run": """
examples:
  python -m bench run smoke                   does everything work? under a minute
  python -m bench run quick                   partitions x consumers, under ten minutes on two cores
  python -m bench run my-matrix.toml --out /data/runs
  PIPELINE_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 PIPELINE_MONGO_URI=mongodb://db/?replicaSet=rs0 \\
    python -m bench run full
""",
    "resume": """
examples:
  python -m bench resume runs/20261122-101500-quick     the repeats that are finished are not run again
""",
    "compare": """
examples:
  python -m bench compare runs/20261122-101500-quick runs/20261122-111500-quick
  python -m bench compare 20261122-101500-quick 20261122-111500-quick --markdown comparison.md --json comparison.json

It says for each cell in both runs whether NEW is faster, slower, the same or whether that cannot be told, why, and how
many rounds would tell; docs/methodology.md says how it is judged. The exit code is 1 with a regression: a cell is
slower, or NEW has a finding that BASE has not.
""",
    "advise": """
examples:
  python -m bench advise runs/20261122-101500-full --target 20000 --objective "p99 delivery latency <= 1 s"
  python -m bench advise 20261122-101500-full --target 5000 --objective "p50 response time <= 50 ms" --json advice.json

It names the smallest configuration that the run shows to hold the target: the fewest consumers, then partitions, then
API processes; docs/methodology.md says what proves it. The exit code is 1 where nothing that was measured holds it:
then it says what to measure next, and what a fitted curve says beyond, marked as an extrapolation.
""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` and give its exit code."""
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.function
    try:
        return command(chosen)
    except TidemarkError as error:
        _complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the edge of the process: whatever it is, it is told, and has its exit code
        traceback.print_exc()
        _complain("a crash of its own; the lines above say where")
        return EXIT_CRASH


def _complain(text: str) -> None:
    sys.stderr.write("bench:" + ("\n" if "\n" in text else " ") + text + "\n")  # of several lines each stands alone


def _plan(chosen: argparse.Namespace) -> int:
    wanted = matrix.load(chosen.matrix, api=settings.load(os.environ).api)
    plan.refuse_above(wanted, chosen.max_minutes)
    Console(highlight=False).print(plan.describe(wanted))
    return EXIT_DONE


def _run(chosen: argparse.Namespace) -> int:
    from bench import run  # noqa: PLC0415 - it brings numpy, Arrow and clients, and plan and --help need none of them

    base, local = _settings(chosen)
    wanted = matrix.load(chosen.matrix, api=base.api)
    plan.refuse_above(wanted, chosen.max_minutes)
    command = ["python", "-m", "bench", "run", chosen.matrix, *(["--keep-data"] if chosen.keep_data else [])]
    with _display(chosen) as display:
        outcome = run.execute(
            wanted,
            out_dir=Path(chosen.out),
            display=display,
            environment=environment.describe(),
            settings=base,
            local=local,
            command=shlex.join(command),
        )
    return _tell(chosen, display, outcome.run_dir, outcome.findings, outcome.void)


def _resume(chosen: argparse.Namespace) -> int:
    from bench import run  # noqa: PLC0415 - as above

    base, local = _settings(chosen)
    run_dir = Path(chosen.run)
    if not run_dir.exists() and (Path(chosen.out) / chosen.run).is_dir():
        run_dir = Path(chosen.out) / chosen.run
    with _display(chosen) as display:
        outcome = run.resume(run_dir, display=display, settings=base, local=local)
    return _tell(chosen, display, outcome.run_dir, outcome.findings, outcome.void)


def _compare(chosen: argparse.Namespace) -> int:
    # What reads bundles is named here and lives in reports; it brings pandas and matplotlib.
    from reports.comparison import command, outcome  # noqa: PLC0415

    if not 0 <= chosen.floor < chosen.effect:
        told = f"--floor {chosen.floor:.3g} and --effect {chosen.effect:.3g}"
        raise UsageError(f"{told} cannot be used: an effect that is to be told has to be larger than the floor")
    rules = outcome.Rules(floor=chosen.floor, effect=chosen.effect)
    files = command.Files(page=chosen.html, markdown=chosen.markdown, json=chosen.json)
    return command.compare(chosen.base, chosen.new, Path(chosen.runs), rules, files)


def _advise(chosen: argparse.Namespace) -> int:
    from reports import planner  # noqa: PLC0415 - as above

    return planner.tell(chosen.run, Path(chosen.runs), chosen.target, chosen.objective, chosen.json)


@contextlib.contextmanager
def _display(chosen: argparse.Namespace) -> Iterator[Display]:
    """A display for the run; where it is cut short, how to go on is the last that is said."""
    with Display(plain=chosen.plain or os.environ.get("CI", "").lower() in ("1", "true")) as display:
        try:
            yield display
        except BaseException:
            display.close()
            if display.run_dir is not None:
                display.note(f"what is finished is kept; go on with: python -m bench resume {display.run_dir}")
            raise


def _tell(chosen: argparse.Namespace, display: Display, run_dir: Path, findings: Sequence[str], void: int) -> int:
    """Say what came out and where it is; give the exit code."""
    lines = ["", *closing(display.results, display.capacities, findings, void), f"run folder: {run_dir}"]
    if chosen.run_dir_file:  # whoever asked for it goes on from there by itself
        Path(chosen.run_dir_file).write_text(f"{run_dir}\n", encoding="utf-8")
    else:
        lines.append(f"its report: python -m reports {run_dir}")
    for line in lines:
        display.note(line)
    measured = any(result.valid for result in display.results)
    return EXIT_DONE if measured and not findings else EXIT_FINDING


def _settings(chosen: argparse.Namespace) -> tuple[Settings, bool]:
    """The settings, and whether servers are to be started on this machine."""
    base = settings.load(os.environ)
    default = Settings()
    kafka = _KAFKA in os.environ or base.kafka.bootstrap_servers != default.kafka.bootstrap_servers
    mongo = _MONGO in os.environ or base.mongo.uri != default.mongo.uri
    if kafka != mongo:
        given, missing = (_KAFKA, _MONGO) if kafka else (_MONGO, _KAFKA)
        raise UsageError(f"{given} is set and {missing} is not: set both, or neither to have servers started here")
    if chosen.keep_data:
        base = structs.replace(base, local=structs.replace(base.local, keep_data=True))
    return base, not kafka


def _parser() -> argparse.ArgumentParser:
    parser = _described(
        argparse.ArgumentParser, "", "Measure the pipeline over a matrix of cells.", prog="python -m bench"
    )
    commands = parser.add_subparsers(title="commands", metavar="plan | run | resume | compare | advise", required=True)

    names = ", ".join(matrix.shipped())
    planning = _described(
        commands.add_parser, "plan", "Show the cells of a matrix, the order of its repeats and the time."
    )
    planning.add_argument("matrix", metavar="MATRIX", help=_MATRIX_HELP.format(names=names))
    _add_max_minutes(planning)
    planning.set_defaults(function=_plan)

    running = _described(commands.add_parser, "run", "Run a matrix into a new folder; Ctrl-C ends it, resumably.")
    running.add_argument("matrix", metavar="MATRIX", help=_MATRIX_HELP.format(names=names))
    _add_max_minutes(running)
    _add_common(running, "the folder that gets the run's folder (default: runs)")
    running.set_defaults(function=_run)

    resuming = _described(
        commands.add_parser, "resume", "Go on with an interrupted run; finished repeats stay as they are."
    )
    resuming.add_argument("run", metavar="RUN", help="the run's folder, or its name within --out")
    _add_common(resuming, "the folder that has the run's folder, where RUN is only a name (default: runs)")
    resuming.set_defaults(function=_resume)
    _add_compare(commands)
    _add_advise(commands)
    return parser


def _add_max_minutes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-minutes", metavar="N", type=float, help="refuse a matrix that is expected to take longer"
    )


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    comparing = _described(commands.add_parser, "compare", "Compare two runs cell by cell, and say what can be told.")
    for side, purpose in (("base", "the run to compare with"), ("new", "the run that is judged")):
        comparing.add_argument(side, metavar=side.upper(), help=f"{purpose}: its folder, or its name under --runs")
    comparing.add_argument("--runs", metavar="DIR", default="runs", help="where runs are looked for (default: runs)")
    floor, effect = (
        "an effect below it is none (default: 3%%)",
        "the rounds that would tell it are told (default: 10%%)",
    )
    comparing.add_argument("--floor", metavar="SHARE", type=_share, default=0.03, help=floor)
    comparing.add_argument("--effect", metavar="SHARE", type=_share, default=0.10, help=effect)
    for name, what in (("html", "the page (default: compare.html in NEW's folder)"), ("markdown", "also Markdown")):
        comparing.add_argument(f"--{name}", metavar="FILE", type=Path, help=f"write {what} to FILE")
    comparing.add_argument("--json", metavar="FILE", type=Path, help="write everything as JSON to FILE")
    comparing.set_defaults(function=_compare)


def _add_advise(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    advising = _described(commands.add_parser, "advise", "Name the smallest configuration that holds a load.")
    advising.add_argument("run", metavar="RUN", help="the run's folder, or its name under --runs")
    advising.add_argument("--target", metavar="EVENTS_PER_S", type=float, required=True, help="the load, in events/s")
    advising.add_argument(
        "--objective",
        metavar="TEXT",
        default="p99 delivery latency <= 1 s",
        help="p50, p90, p99 or p999, delivery latency or response time, <=, and a time in ms or s "
        "(default: '%(default)s')",
    )
    advising.add_argument("--runs", metavar="DIR", default="runs", help="where runs are looked for (default: runs)")
    advising.add_argument("--json", metavar="FILE", type=Path, help="write the whole answer as JSON to FILE")
    advising.set_defaults(function=_advise)


def _share(text: str) -> float:
    """Read ``3%`` or ``0.03``."""
    return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)


def _add_common(parser: argparse.ArgumentParser, out_help: str) -> None:
    parser.add_argument("--out", metavar="DIR", default="runs", help=out_help)
    parser.add_argument(
        "--plain",
        action="store_true",
        help="lines instead of a display (always so without a terminal, and with CI=true)",
    )
    parser.add_argument(
        "--keep-data",
        action="store_true",
        help="leave the data of the servers that were started here where it is; PIPELINE_LOCAL_DATA_DIR says where",
    )
    parser.add_argument(
        "--run-dir-file",
        metavar="FILE",
        help="when the run is complete, write the path of its folder to FILE, for scripts",
    )


def _described(
    make: Callable[..., argparse.ArgumentParser], name: str, purpose: str, **options: str
) -> argparse.ArgumentParser:
    """A parser with examples and exit codes below its options; ``make`` is what makes it."""
    told = {"help": purpose} if name else {}
    return make(
        *([name] if name else []),
        description=purpose,
        epilog=_EXAMPLES[name].lstrip("\n") + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **told,
        **options,
    )


if __name__ == "__main__":
    sys.exit(main())

"""The command line of ``./tidemark bench``: commands, options and help texts."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.matrix import matrix
from pipeline import settings
from pipeline.local.stackspec import MOST_SERVERS

_MAX_MINUTES = "refuse a matrix that would take longer"
_VARIANT = "a git revision, NAME=VALUE, . (the working tree), or fresh (new servers for every repeat)"
Command = Callable[[argparse.Namespace], int]
_MOST_ROUNDS = 100
STACK = ("brokers", "coordination", "mongo_members")
"""The options for the servers to start; settings of ``[local]`` have the same names."""
KAFKA, MONGO = settings.PREFIX + "KAFKA_BOOTSTRAP_SERVERS", settings.PREFIX + "MONGO_URI"
_MATRIX_HELP = "a TOML file, or the name of a matrix of Tidemark: {names}"
_EXIT_CODES = f"""
exit codes:
  0    passed
  1    something was found: events lost or stored twice, the objective missed, a crash of a part, a regression
  2    bad usage or a missing part
  3    a crash of Tidemark
  4    inconclusive: too few valid repeats, for example because the machine was busy; the output names the cause
       (compare and perf: with --strict, also if a verdict is 'cannot tell')
  130  interrupted; the run can be resumed

servers: to use your own, set both {KAFKA} and {MONGO}.
Otherwise the bench starts Kafka and MongoDB on this machine, and stops them after the run.
"""
_EXAMPLES = {
    "": """
examples:
  ./tidemark bench plan quick
  ./tidemark bench smoke
  ./tidemark bench my-matrix.toml --out runs
  ./tidemark bench resume runs/20261122-101500-quick
  ./tidemark bench compare runs/20261122-101500-quick runs/20261122-111500-quick
  ./tidemark perf main
  ./tidemark bench ceilings
""",
    "plan": """
examples:
  ./tidemark bench plan quick
  ./tidemark bench plan full --max-minutes 75      exit code 2 if it takes longer
""",
    "run": """
examples:
  ./tidemark bench smoke                   does everything work? under a minute
  ./tidemark bench quick                   what does the pipeline hold? eight minutes on two cores
  ./tidemark bench my-matrix.toml --out /data/runs
  ./tidemark bench quick --brokers 3 --mongo-members 3     on three brokers and a replica set of three
  ./tidemark bench quick --baseline runs/20261122-101500-quick      offer that run's loads, to compare the two later
  PIPELINE_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 PIPELINE_MONGO_URI=mongodb://db/?replicaSet=rs0 \\
    ./tidemark bench full
""",
    "resume": """
examples:
  ./tidemark bench resume runs/20261122-101500-quick     finished repeats are not run again
""",
    "compare": """
examples:
  ./tidemark bench compare runs/20261122-101500-quick runs/20261122-111500-quick
  ./tidemark bench compare 20261122-101500-quick 20261122-111500-quick --markdown comparison.md --json comparison.json
  ./tidemark bench compare --ab quick --rounds 30 HEAD~1 .                      a revision against the working tree
  ./tidemark bench compare --ab my-matrix.toml . batch_max_events=500           an axis
  ./tidemark bench compare --ab quick . PIPELINE_WORKER_FETCH_MAX_WAIT_MS=200   a setting of the pipeline
  ./tidemark bench compare --ab my-matrix.toml . brokers=3                      other servers, started for each repeat
  ./tidemark bench compare --ab my-matrix.toml . 'kafka."num.io.threads"=2'     a setting of Kafka; mongod.NAME likewise

Each cell that both runs have, and all cells of a kind together, get a verdict: NEW is faster, slower or the same, or
'cannot tell', with the reason and the smallest change that these data could show. docs/method.md has the rules. The
exit code is 1 with a regression: something is slower, or NEW has a new finding. If nothing is slower but a verdict is
'cannot tell', it is 0, or 4 with --strict. To compare with an earlier run, measure NEW with --baseline BASE.
""",
    "advise": """
examples:
  ./tidemark bench advise runs/20261122-101500-full --target 20000 --objective "p99 delivery latency <= 1 s"
  ./tidemark bench advise 20261122-101500-full --target 5000 --objective "p50 response time <= 50 ms" --json advice.json

The answer is the smallest configuration that held the target in this run: the fewest consumers, then partitions, then
API processes. docs/usage.md says what counts as proof. If no measured configuration held the target, the exit code is
1, and the answer has the nearest configuration, what breaks first there, what to measure next, and the extrapolation of
a fitted curve. The exit code is 4 if no steady or capacity cell has a valid repeat.
""",
    "perf": """
examples:
  ./tidemark perf                      uncommitted changes against HEAD; without changes, HEAD against HEAD~1
  ./tidemark perf main                 the working tree against a branch, a tag, any git revision
  ./tidemark perf --quick              only the steps: about a minute, in place of ten on two cores
  ./tidemark perf v1.2 --steps map,bson --rounds 20
  ./tidemark perf HEAD~3 --markdown perf.md --json perf.json

BASE is the revision, NEW the working tree. perf measures the CPU time of each step that an event passes, in both in
turn. Then it runs a drain and a steady load (the matrix perf), interleaved, and judges their rate or delivery latency,
and the CPU time per event of API, workers and all roles. docs/method.md has the rules, docs/performance.md the cost of
an event. The exit code is 1 with a regression: a step or a measure is slower, or NEW has a finding that BASE does not
have.
""",
    "clean": """
examples:
  PIPELINE_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 PIPELINE_MONGO_URI=mongodb://db/?replicaSet=rs0 \\
    ./tidemark bench clean --dry-run

Each run keeps a mark in the database tidemark_bench while it is alive. This command removes topics, consumer groups and
collections with the token of a mark in their name, if the run of that mark is dead: its process has ended or, on
another machine, it has not renewed the mark for an hour. It removes nothing else.
""",
    "ceilings": """
examples:
  ./tidemark bench ceilings                        about three minutes on two cores
  ./tidemark bench ceilings --rounds 10 --json ceilings.json
  ./tidemark bench ceilings --rounds 10 --parts    also worker, API and generator, to compare; about 20 minutes
  ./tidemark bench ceilings --rounds 10 --parts --only worker-1,insert-1,insert-2
  ./tidemark bench ceilings --matrix my-matrix.toml
  PIPELINE_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 PIPELINE_MONGO_URI=mongodb://db/?replicaSet=rs0 \\
    ./tidemark bench ceilings

This runs bare loops (insert, consume, produce, an HTTP handler that does nothing, the traffic generator), interleaved,
each for a fixed number of events. The result is kept for a day, and reports show what share of its ceiling each cell
reached. docs/performance.md explains the loops.
""",
}


def parser(functions: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser. The options that it returns have the ``function`` of the command."""
    made = _described(
        argparse.ArgumentParser, "", "Measure the pipeline over a matrix of cells.", prog="./tidemark bench"
    )
    commands = made.add_subparsers(title="commands", metavar=" | ".join(functions), required=True)

    names = ", ".join(matrix.shipped())
    planning = _described(
        commands.add_parser, "plan", "Show the cells of a matrix, the order of its repeats, and how long it takes."
    )
    planning.add_argument("matrix", metavar="MATRIX", help=_MATRIX_HELP.format(names=names))
    _add_max_minutes(planning)
    _add_stack(planning)
    planning.set_defaults(function=functions["plan"])

    running = _described(commands.add_parser, "run", "Run a matrix into a new folder. After Ctrl-C it can be resumed.")
    asked = f"{_MATRIX_HELP.format(names=names)}; quick by default"
    running.add_argument("matrix", metavar="MATRIX", nargs="?", default="quick", help=asked)
    _add_max_minutes(running)
    _add_stack(running)
    _add_common(running, "where to put the run's folder (default: runs)")
    running.add_argument(
        "--ceilings",
        choices=("auto", "always", "parts", "never"),
        default="auto",
        help="the ceilings of the run: kept ones or, if the run is long enough, new ones (auto, the default); always "
        "new ones; new ones with our own parts, in twelve rounds; none",
    )
    baseline = (
        "offer the loads of an earlier run (its folder, or its name under --out) where the matrix leaves them open, so "
        "that both runs can be compared"
    )
    running.add_argument("--baseline", metavar="RUN", help=baseline)
    running.set_defaults(function=functions["run"])

    resuming = _described(
        commands.add_parser, "resume", "Continue an interrupted run. Finished repeats do not run again."
    )
    resuming.add_argument("run", metavar="RUN", help="the run's folder, or its name under --out")
    _add_common(resuming, "where the run's folder is, if RUN is only a name (default: runs)")
    resuming.set_defaults(function=functions["resume"])
    _add_compare(commands).set_defaults(function=functions["compare"])
    _add_advise(commands).set_defaults(function=functions["advise"])
    _add_perf(commands).set_defaults(function=functions["perf"])
    _add_ceilings(commands).set_defaults(function=functions["ceilings"])
    purpose = "Remove what killed runs left on your servers."
    cleaning = _described(commands.add_parser, "clean", purpose)
    cleaning.add_argument("--dry-run", action="store_true", help="list what would be removed, and remove nothing")
    cleaning.set_defaults(function=functions["clean"])
    return made


def _add_max_minutes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-minutes", metavar="N", type=_finite, help=_MAX_MINUTES)


def _add_stack(parser: argparse._ActionsContainer) -> None:
    """Add the options for the servers to start. A matrix that varies them overrides the options for its cells."""
    brokers = (
        "number of Kafka brokers to start (default: PIPELINE_LOCAL_BROKERS, 1); three keep three copies of each event"
    )
    parser.add_argument("--brokers", metavar="N", type=_servers, help=brokers)
    coordination = "what coordinates the brokers: themselves, or ZooKeeper with Kafka 3.9 (default: kraft)"
    parser.add_argument("--coordination", choices=("kraft", "zookeeper"), help=coordination)
    members = "number of members of MongoDB's replica set to start (default: PIPELINE_LOCAL_MONGO_MEMBERS, 1)"
    parser.add_argument("--mongo-members", metavar="N", type=_servers, help=members)


def _servers(text: str) -> int:
    """Read a number of servers."""
    if text.isdecimal() and 1 <= int(text) <= MOST_SERVERS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} cannot be used: write a whole number from 1 to {MOST_SERVERS}")


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    comparing = _described(commands.add_parser, "compare", "Compare two runs cell by cell.")
    for side, purpose in (("base", "the run to compare with"), ("new", "the run that is judged")):
        purpose_of_side = f"{purpose}: its folder, or its name under --runs; with --ab: {_VARIANT}"
        comparing.add_argument(side, metavar=side.upper(), help=purpose_of_side)
    comparing.add_argument("--runs", metavar="DIR", default="runs", help="where the runs are (default: runs)")
    floor, effect = "ignore effects below this", "show how many rounds would find this effect"
    comparing.add_argument("--floor", metavar="SHARE", type=_share, default=0.03, help=f"{floor} (default: 3%%)")
    comparing.add_argument("--effect", metavar="SHARE", type=_share, default=0.10, help=f"{effect} (default: 10%%)")
    cpu = "also judge the CPU time per event of API, workers and all roles (needs a round or two more)"
    comparing.add_argument("--cpu", action="store_true", help=cpu)
    _add_strict(comparing)
    page = "write the page to FILE (default: compare.html in NEW's folder)"
    comparing.add_argument("--html", metavar="FILE", type=Path, help=page)
    comparing.add_argument("--markdown", metavar="FILE", type=Path, help="also write Markdown, for a pull request")
    comparing.add_argument("--json", metavar="FILE", type=Path, help="also write everything as JSON, for programs")
    measuring = comparing.add_argument_group("to measure both sides first, interleaved in one session")
    measuring.add_argument("--ab", metavar="MATRIX", help="the matrix to measure BASE and NEW over")
    measuring.add_argument("--rounds", metavar="N", type=int, help="number of rounds, in place of the matrix's")
    measuring.add_argument("--max-minutes", metavar="N", type=_finite, help=_MAX_MINUTES)
    _add_stack(measuring)
    _add_plain_and_keep_data(measuring)
    return comparing


def _add_strict(comparing: argparse.ArgumentParser) -> None:
    strict = (
        "exit with 4 if nothing is slower and a verdict is 'cannot tell', so that a CI gate does not pass unnoticed"
    )
    comparing.add_argument("--strict", action="store_true", help=strict)


def _add_advise(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    advising = _described(commands.add_parser, "advise", "Find the smallest configuration of a run that holds a load.")
    advising.add_argument("run", metavar="RUN", help="the run's folder, or its name under --runs")
    advising.add_argument("--target", metavar="EVENTS_PER_S", type=_finite, required=True, help="the load, in events/s")
    advising.add_argument(
        "--objective",
        metavar="TEXT",
        default="p99 delivery latency <= 1 s",
        help="p50, p90, p95, p99 or p999; delivery latency or response time; <=; and a time in ms or s "
        "(default: '%(default)s')",
    )
    advising.add_argument("--runs", metavar="DIR", default="runs", help="where the runs are (default: runs)")
    advising.add_argument("--json", metavar="FILE", type=Path, help="write the whole answer as JSON to FILE")
    return advising


def _add_perf(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    comparing = _described(
        commands.add_parser, "perf", "Compare the working tree with a git revision: what an event costs, step by step."
    )
    purpose = "the git revision to compare with (default: HEAD if there are uncommitted changes, else HEAD~1)"
    comparing.add_argument("base", metavar="REVISION", nargs="?", help=purpose)
    comparing.add_argument("--quick", action="store_true", help="only the steps: no servers, about a minute")
    steps = "only these steps, separated by commas (implies --quick)"
    comparing.add_argument("--steps", metavar="NAMES", type=_names, default=(), help=steps)
    rounds = "pairs of each step and cell (default: 12 of each step, 10 of each cell)"
    comparing.add_argument("--rounds", metavar="N", type=_rounds, help=rounds)
    anyway = "measure even if no measured code differs; this shows the noise"
    comparing.add_argument("--anyway", action="store_true", help=anyway)
    comparing.add_argument("--runs", metavar="DIR", default="runs", help="where to put the runs (default: runs)")
    floor = "ignore effects below this (default: 3%%)"
    comparing.add_argument("--floor", metavar="SHARE", type=_share, default=0.03, help=floor)
    _add_strict(comparing)
    comparing.add_argument("--markdown", metavar="FILE", type=Path, help="also write Markdown, for a pull request")
    comparing.add_argument("--json", metavar="FILE", type=Path, help="also write everything as JSON, for programs")
    _add_plain_and_keep_data(comparing)
    comparing.set_defaults(effect=0.10, max_minutes=None)
    return comparing


def _add_ceilings(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    measuring = _described(commands.add_parser, "ceilings", "Measure what each part reaches on this machine alone.")
    measuring.add_argument("--rounds", metavar="N", type=_rounds, default=3, help="rounds of every loop (default: 3)")
    traffic = "use the traffic of this matrix (default: that of quick and full)"
    measuring.add_argument("--matrix", metavar="MATRIX", default="", help=traffic)
    parts = "also measure worker, API and generator, next to the loops that they are compared with"
    measuring.add_argument("--parts", action="store_true", help=parts)
    only = "only these loops and parts, separated by commas"
    measuring.add_argument("--only", metavar="NAMES", type=_names, default=(), help=only)
    measuring.add_argument("--json", metavar="FILE", type=Path, help="write everything as JSON to FILE")
    _add_stack(measuring)
    _add_when_busy(measuring)
    measuring.set_defaults(keep_data=False)
    return measuring


def _names(text: str) -> tuple[str, ...]:
    """Read names that are separated by commas."""
    return tuple(name for name in (each.strip() for each in text.split(",")) if name)


def _rounds(text: str) -> int:
    """Read a number of rounds."""
    if text.isdecimal() and 1 <= int(text) <= _MOST_ROUNDS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} cannot be used: write a whole number from 1 to {_MOST_ROUNDS}")


def _finite(text: str) -> float:
    """Read a number; every option that takes one reads it here."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    raise argparse.ArgumentTypeError(f"{text!r} cannot be used: write a finite number")


def _share(text: str) -> float:
    """Read ``3%`` or ``0.03``."""
    return _finite(text.removesuffix("%")) / 100 if text.endswith("%") else _finite(text)


def _add_common(parser: argparse.ArgumentParser, out_help: str) -> None:
    parser.add_argument("--out", metavar="DIR", default="runs", help=out_help)
    _add_plain_and_keep_data(parser)
    parser.add_argument("--report", action="store_true", help="also write the report when the run is complete")


def _add_when_busy(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--when-busy",
        choices=("wait", "go-on", "stop"),
        help="if other programs use this machine: wait until it is quiet (at most 30 minutes), go on anyway, or stop "
        "with exit code 4 (default: ask; without a terminal, stop)",
    )


def _add_plain_and_keep_data(parser: argparse._ActionsContainer) -> None:
    _add_when_busy(parser)
    parser.add_argument(
        "--plain",
        action="store_true",
        help="print lines in place of a live display (always so without a terminal, and with CI=true)",
    )
    parser.add_argument(
        "--keep-data",
        action="store_true",
        help="keep the data of the servers that were started here (in PIPELINE_LOCAL_DATA_DIR)",
    )


def _described(
    make: Callable[..., argparse.ArgumentParser], name: str, purpose: str, **options: str
) -> argparse.ArgumentParser:
    """Return a parser, made by ``make``, with examples and exit codes below its options."""
    shown = {"help": purpose} if name else {}
    return make(
        *([name] if name else []),
        description=purpose,
        epilog=_EXAMPLES[name].lstrip("\n") + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **shown,
        **options,
    )

"""``./tidemark selftest``: plants faults in real runs and checks that the harness sees and names each of them."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.attempts import MAX_ATTEMPTS
from bench.observe import environment
from bench.run.session import logged, terminate_like_interrupt
from bench.selftest import cases, cutting, outcome, reporting
from bench.selftest.cases import CLEAN, Case
from bench.selftest.stage import Attempt, Book, Stage
from bench.targets import servers
from bundle import writing
from bundle.errors import BundleError
from pipeline import settings
from pipeline.errors import TidemarkError

_WIDTH = 200
EXIT_PASSED, EXIT_FAILED, EXIT_CRASH, EXIT_INTERRUPTED = 0, 1, 3, 130
_EPILOG = """
examples:
  ./tidemark selftest                        all cases, about four minutes on two cores
  ./tidemark selftest --short                those of CI, under three
  ./tidemark selftest --case stall-kafka     one case

exit codes:
  0    passed: result and report name each planted fault correctly, and the clean run has none
  1    something was found: a fault was not named, or a check passes with its detector switched off
  2    bad usage or a missing part
  3    a crash of Tidemark
  130  interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` and return its exit code."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    # Where the output is no terminal there is no width to keep to.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    wanted = cases.select(short=chosen.short and not chosen.case)
    if chosen.list:
        for case in wanted:
            console.print(f"{case.name:26} {case.planted}" + ("" if case.is_short else " (long form)"), soft_wrap=True)
        console.print(f"{cutting.NAME:26} files of the clean run's bundle are cut off", soft_wrap=True)
        return EXIT_PASSED
    unknown = set(chosen.case) - {case.name for case in wanted} - {cutting.NAME}
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}: --list names all of them")
    try:
        return _run(wanted, chosen.case, Path(chosen.out), console)
    except (TidemarkError, BundleError) as error:
        sys.stderr.write(f"selftest: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("selftest: interrupted\n")
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the edge of the process: whatever it is, it is shown, and has its exit code
        traceback.print_exc()
        sys.stderr.write("selftest: a crash of its own; the lines above say where\n")
        return EXIT_CRASH


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./tidemark selftest",
        description="Plant faults in real runs and check that the harness sees and names each of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--short", action="store_true", help="only the cases that are part of CI")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this one (may be repeated)")
    parser.add_argument("--list", action="store_true", help="name the cases, and run none")
    parser.add_argument("--out", default="runs", metavar="DIR", help="where a folder for the results is made")
    return parser


def _run(wanted: Sequence[Case], names: Sequence[str], out_dir: Path, console: Console) -> int:
    """Run the cases that ``names`` names, all if it names none; return the exit code."""
    cut_off = not names or cutting.NAME in names
    chosen = [case for case in wanted if not names or case.name in names or (cut_off and case.name == CLEAN)]
    out = out_dir / writing.new_run_id("selftest")
    began_s = time.monotonic()
    clean, faults, twins = (Book.create(out, name) for name in (CLEAN, "faults", "twins"))
    attempts: dict[str, list[Attempt]] = {}
    console.print(f"{len(chosen)} cases on real servers, into {out}", soft_wrap=True)
    at_hand = servers.at_hand(settings.load(os.environ), out / "logs", console.print, local=True)
    with logged(out / "logs"), terminate_like_interrupt(), at_hand as started:
        stage = Stage(started)
        for case in chosen:
            attempts[case.name] = _attempts(stage, case, clean if case.name == CLEAN else faults, twins, console)
        books = {book: book.finish(environment.describe(), started) for book in (clean, faults, twins)}
    console.print("reports of what was found, with all detectors and without those of each check")
    pages = {path.name: reporting.write(path) for book, path in books.items() if book.cells}
    rows = [
        outcome.row_of(case, attempts[case.name], pages[CLEAN if case.name == CLEAN else "faults"], pages["twins"])
        for case in chosen
    ]
    if cut_off:
        rows.append(cutting.check(books[clean], attempts[CLEAN][-1].attempt, out / "cut"))
    outcome.write(rows, out)
    console.print()
    outcome.show(rows, console)
    failed = sum(not row.passed for row in rows)
    what = f"{failed} of {len(rows)} cases FAILED" if failed else f"all {len(rows)} cases passed"
    console.print(f"\n{what} in {time.monotonic() - began_s:.0f} s; {outcome.FILE}, bundles and reports: {out}")
    return EXIT_FAILED if failed else EXIT_PASSED


def _attempts(stage: Stage, case: Case, book: Book, twins: Book, console: Console) -> list[Attempt]:
    """Run one case; once more, at most twice, where the machine made it void."""
    made: list[Attempt] = []
    while not made or (made[-1].is_disturbed and len(made) < MAX_ATTEMPTS):
        made.append(stage.attempt(case, len(made) + 1, book, twins))
        last = made[-1]
        again = f"void by the machine: {'; '.join(last.unplanted)}" if last.is_disturbed else ""
        fine = "as it should be" + (", beside a busy machine" if last.unplanted else "")
        outcome_words = again or ("NOT as it should be" if last.failed or last.unseeing else fine)
        console.print(f"{case.name}: {outcome_words} ({last.took_s:.0f} s)", markup=False, soft_wrap=True)
    return made


if __name__ == "__main__":
    sys.exit(main())

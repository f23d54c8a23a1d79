"""``./tidemark report [RUN]``: read a run's bundle, write its report beside it."""

from __future__ import annotations

import argparse
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bundle.errors import BundleError
from pipeline.errors import TidemarkError

if TYPE_CHECKING:
    from reports.answer.verdict import RunVerdict

EXIT_USAGE, EXIT_CRASH, EXIT_INTERRUPTED = 2, 3, 130
LATEST = Path(__file__).parent / "latest.html"
_EPILOG = """
examples:
  ./tidemark report                               the newest run under runs/
  ./tidemark report runs/20261122-101500-quick    that one
  ./tidemark report 20261122-101500-quick --runs /data/runs

It writes report.html, figures/, summary.csv, summary.json and summary.md into the run's folder,
and a copy of the page as reports/latest.html.

exit codes:
  0    passed
  1    something was found: events lost or stored twice, the objective missed, a crash of a part
  2    bad usage or a missing part: no such run, another schema version, a folder that cannot be written
  3    a crash of Tidemark
  4    inconclusive: no finding, but too few valid repeats; the report names the cause and what to do
  130  interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` and return its exit code."""
    chosen = command_line().parse_args(arguments)
    try:
        # Only now: pandas and matplotlib take seconds to import, and --help or a mistyped option need neither.
        from bundle import reading  # noqa: PLC0415
        from reports.answer import ending  # noqa: PLC0415

        folder = reading.find(chosen.run, Path(chosen.runs))
        if chosen.print:
            judged = _judged(folder)
        else:
            from reports.page import writing  # noqa: PLC0415 - as above, for matplotlib

            judged = writing.write(folder, Path(chosen.latest))
    except (TidemarkError, BundleError) as error:
        sys.stderr.write(f"reports: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"reports: {error.filename or 'a file'} cannot be written: {error.strerror or error}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("report: interrupted\n")
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the edge of the process: whatever it is, it is shown, and has its exit code
        traceback.print_exc()
        sys.stderr.write("reports: a crash of its own; the lines above say where\n")
        return EXIT_CRASH
    page = None if chosen.print else folder / "report.html"
    sys.stdout.write(ending.text(judged, page, shlex.quote(str(folder))))
    return judged.exit_code


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="./tidemark report",
        description="Write the report of a run: one HTML page, its figures, and summaries.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's folder or name (default: the newest)")
    parser.add_argument("--runs", metavar="DIR", default="runs", help="where runs are looked for (default: runs)")
    parser.add_argument("--latest", metavar="FILE", default=LATEST, help="copy the page to FILE (default: %(default)s)")
    parser.add_argument("--print", action="store_true", help="print the answer and write no file")
    return parser


def _judged(folder: Path) -> RunVerdict:
    from bundle import reading  # noqa: PLC0415 - as above
    from reports.answer import verdict  # noqa: PLC0415 - as above
    from reports.cells import cells  # noqa: PLC0415 - as above

    read = reading.load(folder)
    return verdict.decide(read, cells.summarise(read))


if __name__ == "__main__":
    sys.exit(main())

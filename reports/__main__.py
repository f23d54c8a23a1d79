"""``python -m reports [RUN]``: read a run's bundle, write its report beside it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import TidemarkError
from reports import bundle, cells, page, summary, verdict
from reports.figures.panel import Panel
from reports.verdict import Verdict

EXIT_USAGE, EXIT_CRASH = 2, 3
LATEST = Path(__file__).parent / "latest.html"
_MOST_FINDINGS = 10
_EPILOG = """
examples:
  python -m reports                               the newest run under runs/
  python -m reports runs/20261122-101500-quick    that one
  python -m reports 20261122-101500-quick --runs /data/runs

It writes report.html, figures/, summary.csv, summary.json and summary.md into the run's folder,
and a copy of the page as reports/latest.html.

exit codes:
  0  written, and nothing was found
  1  written, and the run has findings (events lost or stored twice, the objective missed, a crash),
     or nothing was measured: no repeat is valid
  2  bad usage, there is no such run, it is of another schema version, or its folder cannot be written
  3  a crash of its own
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` and give its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m reports",
        description="Write the report of a run: one HTML page, its figures, and summaries.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's folder or name (default: the newest)")
    parser.add_argument("--runs", metavar="DIR", default="runs", help="where runs are looked for (default: runs)")
    parser.add_argument("--latest", metavar="FILE", default=LATEST, help="a copy of the page (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    try:
        folder = bundle.find(chosen.run, Path(chosen.runs))
        judged = write(folder, Path(chosen.latest))
    except TidemarkError as error:
        sys.stderr.write(f"reports: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"reports: {error.filename or 'a file'} cannot be written: {error.strerror or error}\n")
        return EXIT_USAGE
    except Exception:  # noqa: BLE001 - the edge of the process: whatever it is, it is told, and has its exit code
        traceback.print_exc()
        sys.stderr.write("reports: a crash of its own; the lines above say where\n")
        return EXIT_CRASH
    _tell(folder, judged)
    return judged.exit_code


def write(folder: Path, latest: Path) -> Verdict:
    """Write everything beside the bundle in ``folder``, each file whole or not at all; give the verdict.

    ``latest`` becomes a copy of the page, if its folder can be written.

    Raises:
        BundleError: the bundle cannot be read.
        OSError: the folder cannot be written.
    """
    read = bundle.load(folder)
    views = cells.of(read)
    judged = verdict.judge(read, views)
    made = page.make(read, views, judged)
    _write_figures(folder / "figures", list(made.figures))
    _write(folder / "summary.csv", summary.to_csv(read))
    _write(folder / "summary.json", summary.to_json(read, views, judged))
    _write(folder / "summary.md", summary.to_markdown(read, views, judged))
    _write(folder / "report.html", made.html)
    if os.access(latest.parent, os.W_OK):
        _write(latest, made.html)
    return judged


def _write_figures(folder: Path, figures: Sequence[Panel]) -> None:
    """Write each figure as SVG and its data as CSV; figures of an earlier report are gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for figure in figures:
        _write(folder / f"{figure.name}.svg", figure.drawing.file)
        _write(folder / f"{figure.name}.csv", figure.data.to_csv(index=False))


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".writing")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _tell(folder: Path, judged: Verdict) -> None:
    lines = [judged.sentence]
    lines += [f"  FINDING: {each.repeat}: {each.text}" for each in judged.findings[:_MOST_FINDINGS]]
    if len(judged.findings) > _MOST_FINDINGS:
        lines.append(f"  and {len(judged.findings) - _MOST_FINDINGS} more, all in the report")
    lines += [f"  {caution}" for caution in judged.cautions]
    lines.append(f"report: {folder / 'report.html'}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

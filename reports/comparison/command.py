"""The command: two runs in, words on the terminal and files out, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bundle import reading
from pipeline.errors import UsageError
from reports.comparison import comparing, page, texts
from reports.page.writing import write_file
from reports.ratios.outcome import Comparison, Rules

PAGE = "compare.html"
_PLAIN_WIDTH = 200


@dataclass(frozen=True)
class Files:
    """Where to write; None: not at all, but for the page, which goes beside NEW."""

    page: Path | None = None
    markdown: Path | None = None
    json: Path | None = None


def compare(base: str, new: str, runs: Path, rules: Rules, files: Files) -> int:
    """Compare two runs (folders, or names under ``runs``), print it and write the files; return the exit code.

    Raises:
        UsageError: a run is not there, or nothing can be compared, or a file cannot be written.
        BundleError: a run cannot be read.
    """
    folders = reading.find(base, runs), reading.find(new, runs)
    made = comparing.compare(reading.load(folders[0]), reading.load(folders[1]), rules)
    to = console()
    to.print(texts.for_terminal(made))
    write(_contents(made, files, folders[1]), to)
    return made.exit_code


def console() -> Console:
    """Return where to print: wide where nobody looks, so that no table is cut."""
    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def write(contents: Mapping[Path, str], to: Console) -> None:
    """Write files and say where.

    Raises:
        UsageError: one cannot be written.
    """
    for path, text in contents.items():
        _write(path, text)
        to.print(f"written: {path}", soft_wrap=True)


def _contents(made: Comparison, files: Files, beside: Path) -> dict[Path, str]:
    found = {files.page or beside / PAGE: page.make(made)}
    if files.markdown:
        found[files.markdown] = texts.to_markdown(made)
    if files.json:
        found[files.json] = texts.to_json(made)
    return found


def _write(path: Path, text: str) -> None:
    try:
        write_file(path, text)
    except (OSError, ValueError) as error:  # a path such as / has no name to write under
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{path} cannot be written ({reason}): choose another place with --html, --markdown or --json"
        ) from error

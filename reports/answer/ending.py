"""The end of a run and of its report on the terminal: the answer, what was found, and one table of the cells."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from reports import formats
from reports.answer import verdict
from reports.answer.answer import AnswerRow
from reports.answer.verdict import Finding, RunVerdict

_MOST_FINDINGS = 10
_GAP = 2
_NARROWEST = 16
_WITHOUT_TERMINAL = 80
_WIDEST = 140
_HEADS = ("cell", "held", "limit", "drained", "p50", "p95", "p99", "breaks first", "lost")
_UNITS = "held, limit, drained: events/s; p50, p95, p99: ms of delivery latency; lost: events"
_CELL, _DRAINED, _BREAKS = 0, 3, 7
_WORDS = (_CELL, _BREAKS)


def text(judged: RunVerdict, report: Path | None, run: str, width: int | None = None) -> str:
    """Return the lines to print; ``report`` is where the page is, None if none was written.

    ``run``: the run's name in a command. ``width``: of the terminal in characters, by default that of this terminal.
    """
    lines = [f"{judged.outcome}: {judged.sentence}"]
    found = _findings(judged.findings)
    lines += found[:_MOST_FINDINGS]
    if len(found) > _MOST_FINDINGS:
        lines.append(f"  and {len(found) - _MOST_FINDINGS} more findings, all in the report")
    lines += [f"  {each}" for each in (*judged.evidence, *judged.undecided, *judged.culprits, *judged.cautions)]
    lines += [f"report: {report}" if report else f"its report: ./tidemark report {run}"]
    wide = width or _width()
    # A command and the path of the report stay on their own lines, so that they can be copied.
    lines = [part for line in lines for part in ([line] if _is_whole(line) else _wrapped(line, wide))]
    return "\n".join([*lines, *(["", *table(judged.rows, wide)] if judged.rows else [])]) + "\n"


def table(rows: Sequence[AnswerRow], width: int) -> list[str]:
    """Return the table of the cells in lines of at most ``width``, without breaking a word or a number.

    If the column of the drains does not fit, they are listed below.
    """
    cells = [_cells(row) for row in rows]
    shown = [index for index in range(len(_HEADS)) if index != _DRAINED or any(row.drained for row in rows)]
    if _left(cells, shown, width) >= _NARROWEST or _DRAINED not in shown:
        return _lines(cells, shown, width)
    drains = [f"  {row.label}: {_drained(row)} events/s" for row in rows if row.drained]
    return [*_lines(cells, [i for i in shown if i != _DRAINED], width), "drained:", *drains]


def _findings(findings: Sequence[Finding]) -> list[str]:
    return [f"  FINDING: {each.repeat}: {each.text}" for each in verdict.alike(findings)]


def _is_whole(line: str) -> bool:
    return "./tidemark" in line or line.startswith("report: ")


def _cells(row: AnswerRow) -> list[str]:
    return [
        row.label,
        formats.rounded(row.load),
        row.interval,
        _drained(row),
        formats.milliseconds(row.p50_ms),
        formats.milliseconds(row.p95_ms),
        formats.milliseconds(row.p99_ms),
        row.breaks,
        formats.count(row.lost),
    ]


def _drained(row: AnswerRow) -> str:
    return formats.rounded(row.drained.mean) if row.drained else formats.NOTHING


def _natural(cells: Sequence[Sequence[str]], column: int) -> int:
    return max(len(value) for value in [_HEADS[column], *(row[column] for row in cells)])


def _left(cells: Sequence[Sequence[str]], shown: Sequence[int], width: int) -> int:
    """Return the width that the columns of numbers and the cells' names leave for what breaks first."""
    fixed = sum(_natural(cells, column) for column in shown if column not in _WORDS)
    return width - fixed - _named(cells, width) - _GAP * (len(shown) - 1)


def _named(cells: Sequence[Sequence[str]], width: int) -> int:
    """Return the width of the cells' names: as they are or, if they are long, a quarter of the line."""
    longest_word = max(len(word) for row in cells for word in row[_CELL].split(" "))
    return max(longest_word, min(_natural(cells, _CELL), width // 4))


def _lines(cells: Sequence[Sequence[str]], shown: Sequence[int], width: int) -> list[str]:
    widths = {column: _natural(cells, column) for column in shown}
    widths[_CELL] = _named(cells, width)
    widths[_BREAKS] = min(widths[_BREAKS], max(_NARROWEST, _left(cells, shown, width)))
    lines = [*_wrapped(_UNITS, width), _line(_HEADS, shown, widths)]
    for row in cells:
        parts = {column: _wrapped(row[column], widths[column]) for column in _WORDS}
        for index in range(max(len(part) for part in parts.values())):
            values = list(row) if index == 0 else [""] * len(row)
            for column, part in parts.items():
                values[column] = part[index] if index < len(part) else ""
            lines.append(_line(values, shown, widths))
    return lines


def _line(values: Sequence[str], shown: Sequence[int], widths: dict[int, int]) -> str:
    return (" " * _GAP).join(_put(values[c], widths[c], left=c in _WORDS) for c in shown).rstrip()


def _put(value: str, width: int, *, left: bool) -> str:
    return value.ljust(width) if left else value.rjust(width)


def _wrapped(line: str, width: int) -> list[str]:
    """Break a line between words, its continuation indented; a word longer than the line stays whole."""
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    ) or [""]


def _width() -> int:
    if not sys.stdout.isatty():
        return _WITHOUT_TERMINAL
    return min(_WIDEST, shutil.get_terminal_size((_WITHOUT_TERMINAL, 24)).columns)

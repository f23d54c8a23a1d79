"""What came of the cases: a table for people, a file for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench.selftest.cases import Case
from bench.selftest.reporting import Pages
from bench.selftest.stage import Attempt

FILE = "selftest.json"
_LONGEST_SEEN = 400


class CaseOutcome(Struct, frozen=True):
    """One case. ``twins``: checks judged with their detector switched off; ``unseeing``: of them, those that held."""

    case: str
    planted: str
    seen: str
    problems: tuple[str, ...]
    twins: int
    unseeing: int
    took_s: float
    attempts: int

    @property
    def passed(self) -> bool:
        """Whether all was seen as it should be, and by no twin."""
        return not self.problems


def row_of(case: Case, attempts: Sequence[Attempt], pages: Pages, of_twins: Pages) -> CaseOutcome:
    """Bring together what the last attempt's result, its report, and the twins of both say.

    ``of_twins``: the report of what was judged without the detectors of the case's checks.
    """
    last = attempts[-1]
    report, twin = pages.repeat(case.name, last.attempt), of_twins.repeat(case.name, last.attempt)
    problems = list(last.failed)
    unseeing = list(last.unseeing)
    twins = last.twins
    for check in case.all_checks:
        if check.wrong_in_report is None:
            continue
        wrong = check.wrong_in_report(report)
        problems += [f"in the report: {check.what}: {wrong}"] if wrong else []
        if check.without or not case.checks:
            twins += 1
            unseeing += [] if check.wrong_in_report(twin) else [f"in the report: {check.what}"]
    problems += [f"it holds with its detector switched off, too: {what}" for what in unseeing]
    return CaseOutcome(
        case=case.name,
        planted=case.planted,
        seen=_shortened([*last.numbers, *last.result.findings, *last.result.reasons]),
        problems=tuple(problems),
        twins=twins,
        unseeing=len(unseeing),
        took_s=sum(each.took_s for each in attempts),
        attempts=len(attempts),
    )


def _shortened(texts: Sequence[str]) -> str:
    text = "; ".join(texts) or "nothing"
    return text if len(text) <= _LONGEST_SEEN else text[: _LONGEST_SEEN - 1] + "…"


def write(rows: Sequence[CaseOutcome], out: Path) -> None:
    """Write the rows as JSON into ``out``."""
    content = [{**msgspec.to_builtins(row), "passed": row.passed} for row in rows]
    (out / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def show(rows: Sequence[CaseOutcome], console: Console) -> None:
    """Print the table, and below it what went wrong."""
    table = Table("", "case", "planted", "seen", "twins", "took", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            "passed" if row.passed else "FAILED",
            row.case,
            row.planted,
            row.seen,
            f"{row.twins - row.unseeing} of {row.twins} fail",
            f"{row.took_s:.0f} s" + (f" ({row.attempts} attempts)" if row.attempts > 1 else ""),
            style="" if row.passed else "bold red",
        )
    console.print(table)
    for row in rows:
        for problem in row.problems:
            console.print(f"FAILED: {row.case}: {problem}", style="bold red", markup=False, soft_wrap=True)

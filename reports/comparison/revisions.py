"""Two revisions compared: the steps of an event's way and the runs of both, as one outcome with its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from bundle import reading
from reports import formats
from reports.comparison import command, comparing, page, steps, texts
from reports.comparison.command import PAGE, Files
from reports.comparison.steps import StepsComparison, TimedStep
from reports.page import summary
from reports.ratios.outcome import EXIT_CANNOT_TELL, EXIT_REGRESSION, Comparison, Rules

SCHEMA_VERSION = 1


def judged(timed: Sequence[TimedStep], rules: Rules) -> StepsComparison:
    """Judge the steps, and print what came of them."""
    made = steps.compare(timed, rules)
    console = command.console()
    console.print()
    console.print(texts.drawn(steps.table(made)))
    console.print(Text(steps.HOW_RATIOS_READ, style="dim"))
    for note in steps.notes(made):
        console.print(Text(note, style="yellow"))
    console.print(Text(steps.sentence(made), style="bold red" if made.regression else "bold"))
    return made


def finish(title: str, made: StepsComparison, runs: tuple[Path, Path] | None, files: Files) -> int:
    """Compare the runs of both revisions too, if there are any, print and write all; return the exit code.

    Raises:
        UsageError: nothing can be compared, or a file cannot be written.
        BundleError: a run cannot be read.
    """
    console = command.console()
    cells = None
    contents: dict[Path, str] = {}
    if runs is not None:
        base, new = runs
        cells = comparing.compare(reading.load(base), reading.load(new), made.rules)
        console.print()
        console.print(texts.for_terminal(cells))
        contents[new / PAGE] = page.make(cells)
    if files.markdown:
        contents[files.markdown] = to_markdown(title, made, cells)
    if files.json:
        contents[files.json] = to_json(title, made, cells)
    command.write(contents, console)
    found = made.regression or (cells is not None and cells.regression)
    console.print(Text(outcome(made, cells), style="bold red" if found else "bold"))
    if found:
        return EXIT_REGRESSION
    open_ = bool(made.with_verdict("cannot tell") or (cells is not None and cells.with_verdict("cannot tell")))
    return EXIT_CANNOT_TELL if made.rules.strict and open_ else 0


def outcome(made: StepsComparison, cells: Comparison | None) -> str:
    """Say in a line what both parts come to."""
    where = [step.timed.name for step in made.with_verdict("slower")]
    if cells is not None:
        where += [f"{each.label} together" for each in cells.together if each.verdict == "slower"]
        where += [cell.name for cell in cells.with_verdict("slower")]
        where += [f"{change.text} ({change.cell})" for change in cells.new_findings]
    if where:
        return f"Regression: {', '.join(where)}"
    judgements = [step.verdict for step in made.steps if step.verdict]
    judgements += [cell.verdict for cell in cells.cells] if cells else []
    undecided = judgements.count("cannot tell")
    if undecided == len(judgements):
        return "Nothing is decided: measure more rounds."
    rest = f"; {undecided} of {formats.plural(len(judgements), 'measure')} cannot be decided" if undecided else ""
    return f"No regression{rest}."


def to_markdown(title: str, made: StepsComparison, cells: Comparison | None) -> str:
    """Return both parts as Markdown."""
    lines = [f"## {title[:1].upper()}{title[1:]}", "", f"**{outcome(made, cells)}**", "", steps.sentence(made), ""]
    lines += [*summary.markdown(steps.table(made)), "", steps.HOW_RATIOS_READ, ""]
    lines += [f"> {note}  " for note in steps.notes(made)]
    if cells is not None:
        lines += ["", texts.to_markdown(cells)]
    return "\n".join(lines).rstrip() + "\n"


def to_json(title: str, made: StepsComparison, cells: Comparison | None) -> str:
    """Return both parts as JSON: docs/bundle.md says what it holds."""
    content: Mapping[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "title": title,
        "regression": made.regression or (cells is not None and cells.regression),
        "outcome": outcome(made, cells),
        "floor": made.rules.floor,
        "steps": steps.as_json(made),
        "comparison": None if cells is None else json.loads(texts.to_json(cells)),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

"""A comparison in words and tables: what terminal, Markdown and page say alike."""

from __future__ import annotations

from typing import Literal

from reports import formats, tables
from reports.comparison import power
from reports.comparison.inference import FAMILY_LEVEL
from reports.comparison.measures import BESIDE
from reports.comparison.outcome import CellComparison, Comparison, Ratio
from reports.tables import Table

Level = Literal["findings", "incomplete", "clear"]
HOW_RATIOS_READ = (
    "A ratio above 1 means that NEW is better: NEW by BASE for throughput, BASE by NEW for durations and CPU. It is "
    "the geometric mean over the rounds, with its 95% t interval; p is corrected over all cells (Holm)."
)


def level(comparison: Comparison) -> Level:
    """Give the page's colour: a regression is red, nothing told is yellow."""
    if comparison.regression:
        return "findings"
    return "incomplete" if len(comparison.of("cannot tell")) == len(comparison.cells) else "clear"


def level_title(comparison: Comparison) -> str:
    """Name the outcome in a word or two."""
    if comparison.regression:
        return "Regression"
    if level(comparison) == "incomplete":
        return "Cannot tell"
    return "Faster, no regression" if comparison.of("faster") else "No regression"


def sentence(comparison: Comparison) -> str:
    """Say what came out: new findings first, then what is slower, faster, and not told."""
    clauses = [_new_findings(comparison)]
    count = len(comparison.cells)
    for verdict in ("slower", "faster"):
        cells = comparison.of(verdict)
        if cells:
            most = max(cells, key=lambda cell: abs((cell.primary.ratio or 1.0) - 1))
            among = "" if len(cells) == count == 1 else f" in {len(cells)} of {formats.plural(count, comparison.noun)}"
            first = ", most in" if len(cells) > 1 else ":"
            clauses.append(f"NEW is {verdict}{among}{first} {most.label} ({_told(most.primary)})")
    same, untold = len(comparison.of("same")), len(comparison.of("cannot tell"))
    if untold == count:
        clauses.append(_nothing_told(comparison))
    else:
        floor = f"{comparison.rules.floor:.0%}"
        clauses.append(f"{same} {'is' if same == 1 else 'are'} the same within {floor}" if same else "")
        clauses.append(f"of {untold} nothing can be told" if untold else "")
    whole = "; ".join(clause for clause in clauses if clause) + "."
    return whole[0].upper() + whole[1:]


def rounds_needed(comparison: Comparison) -> str:
    """Say how many interleaved rounds would tell the effect that was asked for, in all cells and in half of them."""
    effect = f"{comparison.rules.effect:.0%}"
    asked = [cell for cell in comparison.cells if cell.primary.p is not None]
    if not asked:
        return "How many rounds would tell an effect is not known: there is no cell with two rounds."
    told = sorted((cell for cell in asked if cell.rounds_to_tell), key=lambda cell: cell.rounds_to_tell or 0)
    if not told:
        most_told = f"more than {power.MOST_ROUNDS:,} interleaved rounds"
        return f"A change of {effect} would take {most_told} in every {comparison.noun}."
    most, half = told[-1], told[(len(told) - 1) // 2]
    if len(told) < len(asked):
        where = f"in {len(told)} of {formats.plural(len(asked), comparison.noun)}"
    else:
        where = f"in every {comparison.noun}" if len(asked) > 1 else f"in {most.label}"
    least = ""
    if half.rounds_to_tell != most.rounds_to_tell:
        least = f" ({most.name} needs most; half of the {comparison.noun}s need {half.rounds_to_tell:,} or fewer)"
    return (
        f"A change of {effect} is told {where} by {most.rounds_to_tell:,} interleaved rounds{least}: with "
        f"{power.POWER:.0%} power, at this comparison's noise."
    )


def design(comparison: Comparison) -> str:
    """Say how the repeats of both runs go together."""
    if comparison.interleaved:
        return "interleaved in one session, paired by round"
    return "made one after the other, not paired (Welch)"


def primary_table(comparison: Comparison) -> Table:
    """One row a cell: the measure that is judged, in both runs, its ratio, and what would tell more."""
    effect = f"{comparison.rules.effect:.0%}"
    rows, marked = [], []
    for index, cell in enumerate(comparison.cells):
        measure = cell.primary.measure
        if cell.verdict == "slower":
            marked.append(index)
        rows.append(
            [
                cell.label,
                f"{measure.title}, {measure.unit}",
                cell.verdict,
                measure.form(measure.of_cell(cell.base)),
                measure.form(measure.of_cell(cell.new)),
                ratio(cell.primary.ratio),
                interval(cell.primary),
                formats.probability(cell.primary.corrected_p),
                formats.count(cell.primary.rounds),
                _rounds(cell),
                formats.NOTHING if cell.effect_told is None else f"{cell.effect_told:.0%}",
            ]
        )
    heads = ["cell", "measure", "verdict", "BASE", "NEW", "ratio", "95% t interval", "p (Holm)", "rounds"]
    return tables.table([*heads, f"rounds to tell {effect}", "smallest change told"], rows, text=3, marked=marked)


def reasons_table(comparison: Comparison) -> Table:
    """Why each verdict is what it is."""
    rows = [[cell.name, cell.verdict, cell.why] for cell in comparison.cells]
    return tables.table(["cell", "verdict", "why"], rows, text=3)


def beside_table(comparison: Comparison) -> Table | None:
    """One row a cell and measure that is not judged; None where there is none."""
    rows = []
    for measure in BESIDE:
        for cell in comparison.cells:
            for other in cell.beside:
                if other.measure is measure:
                    values = (measure.form(measure.of_cell(cell.base)), measure.form(measure.of_cell(cell.new)))
                    name = f"{measure.title}, {measure.unit}"
                    rows.append([name, cell.label, *values, ratio(other.ratio), interval(other), str(other.rounds)])
    if not rows:
        return None
    heads = ["measure", "cell", "BASE", "NEW", "ratio", "95% t interval, not corrected", "rounds"]
    return tables.table(heads, rows, text=2)


def findings_table(comparison: Comparison) -> Table | None:
    """One row a sort of finding, with the attempts that have it in each run; None where there is none."""
    if not comparison.findings:
        return None
    rows = [
        [change.cell, change.text, "new" if change.is_new else "", str(change.base), str(change.new)]
        for change in comparison.findings
    ]
    marked = [index for index, change in enumerate(comparison.findings) if change.is_new]
    return tables.table(["cell", "finding", "", "attempts, BASE", "NEW"], rows, text=3, marked=marked)


def environment_table(comparison: Comparison, *, differing: bool) -> Table | None:
    """What is known of both environments, or only what differs; None where that is nothing."""
    facts = [fact for fact in comparison.environment if fact.differs or not differing]
    if not facts:
        return None
    rows = [[fact.name, fact.base or formats.NOTHING, fact.new or formats.NOTHING] for fact in facts]
    return tables.table(["", "BASE", "NEW"], rows, text=3)


def ratio(value: float | None) -> str:
    """A ratio with three decimals."""
    return formats.NOTHING if value is None else f"{value:.3f}"


def interval(of: Ratio) -> str:
    """The interval of a ratio; a side that is not bounded is left open."""
    if of.low is None and of.high is None:
        return formats.NOTHING
    return f"{ratio(of.low)} to {ratio(of.high)}"


def _rounds(cell: CellComparison) -> str:
    if cell.primary.p is None:
        return formats.NOTHING
    return f"> {power.MOST_ROUNDS:,}" if cell.rounds_to_tell is None else f"{cell.rounds_to_tell:,}"


def _told(of: Ratio) -> str:
    return f"{of.measure.title}: ratio {ratio(of.ratio)}, 95% interval {interval(of)}"


def _new_findings(comparison: Comparison) -> str:
    new = comparison.new_findings
    if not new:
        return ""
    noun = formats.plural(len(new), "finding")
    return f"NEW has {noun} that BASE has not: {new[0].text} ({new[0].cell})" + (", and more" if len(new) > 1 else "")


def _nothing_told(comparison: Comparison) -> str:
    count = len(comparison.cells)
    where = f"in any of {count} {comparison.noun}s" if count > 1 else f"in {comparison.cells[0].label}"
    few = [cell for cell in comparison.cells if cell.primary.p is not None and _is_short(cell, comparison)]
    needed = power.fewest_rounds(comparison.tested)
    if few and len(few) == comparison.tested:
        return f"no difference can be told {where}: fewer than {needed} rounds tell none"
    return f"no difference can be told {where}, nor that there is none"


def _is_short(cell: CellComparison, comparison: Comparison) -> bool:
    return cell.primary.smallest_p > FAMILY_LEVEL / max(comparison.tested, 1)

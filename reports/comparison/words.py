"""A comparison in words and tables: what terminal, Markdown and page say alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports import formats, tables
from reports.answer.verdict import Level
from reports.cells.cells import Cell
from reports.ratios.measures import Measure, beside
from reports.ratios.outcome import EXIT_CANNOT_TELL, CellComparison, Comparison, Ratio, Together
from reports.tables import Table
from stats import power
from stats.inference import FAMILY_LEVEL

HOW_RATIOS_READ = (
    "A ratio above 1 means that NEW is better: NEW by BASE for throughput, BASE by NEW for durations and CPU. It is "
    "the geometric mean over the rounds, with its 95% t interval; of two searches the ratio of the middles of what "
    "their probes leave plausible. p is corrected over all cells (Holm)."
)


def level(comparison: Comparison) -> Level:
    """Return the page's colour: a regression is red, nothing shown is yellow."""
    if comparison.regression:
        return "failed"
    return "passed" if _shown(comparison) else "inconclusive"


def level_title(comparison: Comparison) -> str:
    """Name the outcome in a word or two."""
    if comparison.regression:
        return "Regression"
    if not _shown(comparison):
        return "Cannot tell"
    faster = comparison.with_verdict("faster") or any(each.verdict == "faster" for each in comparison.together)
    return "Faster, no regression" if faster else "No regression"


def sentence(comparison: Comparison) -> str:
    """Say the result: new findings first, then all cells together, then what is slower, faster, and not shown."""
    shown = [each for each in comparison.together if each.verdict != "cannot tell"]
    clauses = [_new_findings(comparison), *map(_of_a_kind, shown)]
    count = len(comparison.cells)
    for verdict in ("slower", "faster"):
        cells = comparison.with_verdict(verdict)
        if cells:
            most = max(cells, key=lambda cell: abs(math.log(cell.primary.ratio or 1.0)))
            among = "" if len(cells) == count == 1 else f" in {len(cells)} of {formats.plural(count, comparison.noun)}"
            first = ", most in" if len(cells) > 1 else ":"
            clauses.append(f"NEW is {verdict}{among}{first} {most.label} ({_numbers(most.primary)})")
    same, undecided = len(comparison.with_verdict("same")), len(comparison.with_verdict("cannot tell"))
    if undecided == count:
        clauses.append(_nothing_shown(comparison))
    else:
        floor = f"{comparison.rules.floor:.0%}"
        alike = formats.plural(same, comparison.noun) + (" is" if same == 1 else " are")
        clauses.append(f"{alike} the same within {floor}" if same else "")
        open_ = f"{formats.plural(undecided, comparison.noun)} cannot be decided"
        clauses.append(f"{open_}{_seen(comparison.with_verdict('cannot tell'))}" if undecided else "")
    clauses += [_of_a_kind(each) for each in comparison.together if each not in shown]
    whole = "; ".join(clause for clause in clauses if clause) + "."
    return whole[0].upper() + whole[1:]


def exit_note(comparison: Comparison) -> str:
    """Say why the exit code is not 0 although there is no regression; else nothing."""
    if comparison.exit_code != EXIT_CANNOT_TELL:
        return ""
    undecided = formats.plural(len(comparison.with_verdict("cannot tell")), comparison.noun)
    return f"Exit code {EXIT_CANNOT_TELL} (--strict): {undecided} cannot be decided."


def rounds_needed(comparison: Comparison) -> str:
    """Say how many interleaved rounds would show the effect that was asked for, in all cells and in half of them."""
    effect = f"{comparison.rules.effect:.0%}"
    repeated = [cell for cell in comparison.cells if not cell.base.kind.searched]
    asked = [cell for cell in repeated if cell.primary.p is not None]
    if not asked:
        unknown = "How many rounds would show an effect is not known: there is no cell with two rounds."
        return unknown if repeated else ""
    shown = sorted((cell for cell in asked if cell.rounds_to_tell), key=lambda cell: cell.rounds_to_tell or 0)
    if not shown:
        return (
            f"A change of {effect} would take more than {power.MOST_ROUNDS:,} interleaved rounds in every "
            f"{comparison.noun}."
        )
    most, half = shown[-1], shown[(len(shown) - 1) // 2]
    if len(shown) < len(asked):
        where = f"in {len(shown)} of {formats.plural(len(asked), comparison.noun)}"
    else:
        where = f"in every {comparison.noun} with repeats" if len(asked) > 1 else f"in {most.label}"
    least = ""
    if half.rounds_to_tell != most.rounds_to_tell:
        least = f" ({most.name} needs most; half of the {comparison.noun}s need {half.rounds_to_tell:,} or fewer)"
    return (
        f"{most.rounds_to_tell:,} interleaved rounds would show a change of {effect} {where}{least}: with "
        f"{power.POWER:.0%} power, at this comparison's noise."
    )


def design(comparison: Comparison) -> str:
    """Say how the repeats of both runs go together."""
    if comparison.interleaved:
        return "interleaved in one session, paired by round"
    taken = comparison.new.manifest.baseline
    same = taken is not None and taken.run_id == comparison.base.manifest.run_id
    return "made one after the other, not paired (Welch)" + (", NEW with the loads of BASE" if same else "")


def primary_table(comparison: Comparison) -> Table:
    """One row a cell: the measure that is judged, in both runs, its ratio, and what would show it more."""
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
                _value(measure, cell.base),
                _value(measure, cell.new),
                ratio(cell.primary.ratio),
                interval(cell.primary),
                formats.probability(cell.primary.corrected_p),
                formats.count(cell.primary.rounds),
                _rounds(cell),
                _effect(cell.smallest_effect, cell.primary),
            ]
        )
    heads = ["cell", "measure", "verdict", "BASE", "NEW", "ratio", "95% interval", "p (Holm)", "rounds"]
    return tables.table([*heads, f"rounds to see {effect}", "smallest change seen"], rows, text=3, marked=marked)


def together_table(comparison: Comparison) -> Table | None:
    """One row a kind: all its cells as one; None where no kind has two cells that can be tested."""
    if not comparison.together:
        return None
    rows = [
        [
            each.label,
            f"{each.primary.measure.title}, {each.primary.measure.unit}",
            each.verdict,
            ratio(each.primary.ratio),
            interval(each.primary),
            formats.probability(each.primary.corrected_p),
            _effect(each.smallest_effect, each.primary),
        ]
        for each in comparison.together
    ]
    heads = ["together", "measure", "verdict", "mean ratio", "95% interval", "p (Holm)", "smallest change seen"]
    marked = [place for place, each in enumerate(comparison.together) if each.verdict == "slower"]
    return tables.table(heads, rows, text=3, marked=marked)


def reasons_table(comparison: Comparison) -> Table:
    """Why each verdict is what it is."""
    rows = [[cell.name, cell.verdict, cell.why] for cell in comparison.cells]
    return tables.table(["cell", "verdict", "why"], rows, text=3)


def beside_table(comparison: Comparison) -> Table | None:
    """One row a cell and measure that is not judged; None where there is none."""
    rows = []
    for measure in beside(cell.base for cell in comparison.cells):
        for cell in comparison.cells:
            for other in cell.beside:
                if other.measure is measure:
                    values = (_value(measure, cell.base), _value(measure, cell.new))
                    name = f"{measure.title}, {measure.unit}"
                    rows.append([name, cell.label, *values, ratio(other.ratio), interval(other), str(other.rounds)])
    if not rows:
        return None
    heads = ["measure", "cell", "BASE", "NEW", "ratio", "95% t interval, not corrected", "rounds"]
    return tables.table(heads, rows, text=2)


def findings_table(comparison: Comparison) -> Table | None:
    """One row a sort of finding, with the valid repeats that have it in each run; None where there is none."""
    if not comparison.findings:
        return None
    rows = [
        [
            change.cell,
            change.text,
            "new" if change.is_new else "",
            f"{change.base} of {change.base_repeats}",
            f"{change.new} of {change.new_repeats}",
            formats.probability(change.p),
        ]
        for change in comparison.findings
    ]
    marked = [index for index, change in enumerate(comparison.findings) if change.is_new]
    heads = ["cell", "finding", "", "valid repeats, BASE", "NEW", "p (Fisher, Holm)"]
    return tables.table(heads, rows, text=3, marked=marked)


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


def _value(measure: Measure, cell: Cell) -> str:
    """A measure over all repeats or, if their pooled data are missing, the lowest and highest of single repeats."""
    whole = measure.of_cell(cell)
    values = sorted(measure.values(cell).values())
    if whole is not None or not values or cell.kind.searched:
        return measure.form(whole)
    least, most = measure.form(values[0]), measure.form(values[-1])
    return least if least == most else f"{least} to {most}"


def _effect(effect: float | None, of: Ratio) -> str:
    if of.p is None:
        return formats.NOTHING
    return "none" if effect is None else f"{effect:.0%}"


def _rounds(cell: CellComparison) -> str:
    if cell.primary.p is None or cell.base.kind.searched:
        return formats.NOTHING
    return f"> {power.MOST_ROUNDS:,}" if cell.rounds_to_tell is None else f"{cell.rounds_to_tell:,}"


def _shown(comparison: Comparison) -> bool:
    """Whether anything is shown: of a cell, or of all of a kind together."""
    verdicts = [cell.verdict for cell in comparison.cells] + [each.verdict for each in comparison.together]
    return any(verdict != "cannot tell" for verdict in verdicts)


def _of_a_kind(of: Together) -> str:
    """Say what all cells of a kind together show: a change of the mean ratio, or which change could be seen."""
    numbers = _numbers(of.primary)
    if of.verdict == "cannot tell":
        seen = "" if of.smallest_effect is None else f"; a change of {of.smallest_effect:.0%} would have been seen"
        return f"{of.label} together: cannot tell ({numbers}{seen})"
    return f"{of.label} together: NEW is {of.verdict if of.verdict != 'same' else 'the same'} ({numbers})"


def _numbers(of: Ratio) -> str:
    return f"{of.measure.title}: ratio {ratio(of.ratio)}, 95% interval {interval(of)}"


def _new_findings(comparison: Comparison) -> str:
    new = comparison.new_findings
    if not new:
        return ""
    more = f", and {len(new) - 1} more" if len(new) > 1 else ""
    often = "more often than BASE" if new[0].base else "that BASE does not have"
    return f"NEW has {formats.plural(len(new), 'finding')} {often}: {new[0].text} ({new[0].cell}){more}"


def _nothing_shown(comparison: Comparison) -> str:
    count = len(comparison.cells)
    where = f"in any of {count} {comparison.noun}s alone" if count > 1 else f"in {comparison.cells[0].label}"
    tested = [cell for cell in comparison.cells if cell.primary.p is not None]
    if tested and all(_is_short(cell, comparison) for cell in tested):
        needed = power.fewest_rounds(comparison.tested, paired=comparison.interleaved)
        return f"no difference can be seen {where}: fewer than {needed} rounds show none"
    return f"no difference can be seen {where}, nor that there is none{_seen(comparison.cells)}"


def _seen(cells: Sequence[CellComparison]) -> str:
    """Say which changes would have been seen over some cells; nothing if it is not known for any."""
    found = sorted(cell.smallest_effect for cell in cells if cell.smallest_effect is not None)
    if not found:
        return ""
    least, most = (f"{each:.0%}" for each in (found[0], found[-1]))
    span = least if least == most else f"{least} to {most}, by cell,"
    others = len(cells) - len(found)
    rest = f", in {others} no change, however large" if others else ""
    return f" (a change of {span} would have been seen{rest})"


def _is_short(cell: CellComparison, comparison: Comparison) -> bool:
    return cell.primary.smallest_p > FAMILY_LEVEL / max(comparison.tested, 1)

"""A comparison as one HTML page, in the look of the report."""

from __future__ import annotations

from dataclasses import dataclass

from reports import formats, tables
from reports.comparison import forest, rivals, rounds, words
from reports.drawing.panel import Panel
from reports.page import rendering
from reports.ratios.outcome import CellComparison, Comparison
from reports.sections.section import Section, SectionPart
from stats import power
from stats.inference import FAMILY_LEVEL, VERDICTS

_READ = (
    "A filled mark is a verdict, a hollow one means that nothing is decided. The line is the 95% t interval of this "
    "cell alone; small points are the rounds' own ratios."
)
_POINTS = (
    "Every valid repeat of both runs; the dashed lines are geometric means. Percentiles of durations in the tables are "
    "of the joint data of all repeats, so that they may lie apart from the middle of these. Of searches every probe is "
    "drawn, hollow where its load was not sustained; lines and bands are the answers and their intervals."
)


@dataclass(frozen=True)
class Tile:
    """One number at the top of the page, with its name, unit and a remark."""

    name: str
    number: str
    unit: str
    remark: str
    alarm: bool = False


def make(comparison: Comparison) -> str:
    """Lay the comparison out and render it; the same runs make the same page."""
    return rendering.render(
        "comparison.html.j2",
        comparison=comparison,
        level=words.level(comparison),
        level_title=words.level_title(comparison),
        sentence=words.sentence(comparison),
        rounds_needed=words.rounds_needed(comparison),
        facts=_facts(comparison),
        tiles=_tiles(comparison),
        sections=_sections(comparison),
        sides=[("BASE", comparison.base), ("NEW", comparison.new)],
    )


def _facts(comparison: Comparison) -> str:
    return f"{comparison.base.manifest.run_id} and {comparison.new.manifest.run_id} · {words.design(comparison)}"


def _tiles(comparison: Comparison) -> list[Tile]:
    found = [
        Tile(
            verdict,
            str(len(comparison.with_verdict(verdict))),
            "",
            f"{comparison.noun}s {_REMARKS[verdict]}",
            alarm=verdict == "slower" and number > 0,
        )
        for verdict, number in ((each, len(comparison.with_verdict(each))) for each in VERDICTS)
    ]
    new = len(comparison.new_findings)
    found.append(Tile("new findings", str(new), "", "in NEW and not in BASE", alarm=new > 0))
    counts = [cell.primary.rounds for cell in comparison.cells if not cell.base.kind.searched] or [0]
    span = str(min(counts)) + (f" to {max(counts)}" if max(counts) > min(counts) else "")
    found.append(Tile("rounds", span, "", "in pairs" if comparison.interleaved else "of the shorter run"))
    return found


_REMARKS = {
    "faster": "shown to differ",
    "slower": "shown to differ",
    "same": "shown to be the same",
    "cannot tell": "where neither is shown",
}


def _sections(comparison: Comparison) -> list[Section]:
    forests = forest.ratios(comparison)
    points = [_points(cell, comparison) for cell in comparison.cells]
    findings, beside = words.findings_table(comparison), words.beside_table(comparison)
    differing = words.environment_table(comparison, differing=True)
    whole = words.environment_table(comparison, differing=False)
    together = words.together_table(comparison)
    return [
        Section(
            "ratios",
            "Ratios, cell by cell",
            "Ratios",
            (
                SectionPart(words=(f"{words.HOW_RATIOS_READ} {_READ}",), figures=(forests,) if forests else ()),
                SectionPart(table=words.primary_table(comparison)),
                *([SectionPart("All cells of a kind together", table=together)] if together else []),
                SectionPart("Why", table=words.reasons_table(comparison)),
            ),
        ),
        Section(
            "rounds",
            "Both runs, round by round",
            "Rounds",
            (SectionPart(words=(_POINTS,), figures=tuple(each for each in points if each)),),
        ),
        Section(
            "beside",
            "Beside it, without verdict",
            "Beside it",
            (SectionPart(words=(_BESIDE,), table=beside) if beside else SectionPart(words=(_NO_BESIDE,)),),
        ),
        Section(
            "findings",
            "Findings of both runs",
            "Findings",
            (SectionPart(table=findings) if findings else SectionPart(words=("Neither run has a finding.",)),),
        ),
        Section(
            "environment",
            "Environments",
            "Environment",
            (
                SectionPart(table=differing) if differing else SectionPart(words=("The environments do not differ.",)),
                SectionPart(table=whole, summary="All that is known of both"),
            ),
        ),
        Section("method", "How it is judged", "Method", (SectionPart(table=_method(comparison)),)),
    ]


def _points(cell: CellComparison, comparison: Comparison) -> Panel | None:
    """Draw every repeat of both runs: over the rounds or, of a search, over the load."""
    if cell.base.kind.searched:
        return rivals.probes(cell)
    return rounds.both(cell, paired=comparison.interleaved)


_BESIDE = (
    "What moved besides the measure that is judged. The intervals are not corrected for their number: one in twenty "
    "leaves 1 out by chance."
)
_NO_BESIDE = "There is no measure beside those that are judged."


def _method(comparison: Comparison) -> tables.Table:
    rules, cells = comparison.rules, comparison.tested
    floor = f"{rules.floor:.0%}"
    return tables.pairs(
        [
            ("design", words.design(comparison)),
            ("faster, slower", f"p at most {FAMILY_LEVEL:g} after Holm's correction, and a ratio beyond {floor}"),
            ("same", f"the whole 95% interval lies within {floor} of 1"),
            ("cannot tell", "neither"),
            ("all of a kind together", "the mean of their log ratios, same rules, in a separate family of tests"),
            ("a finding is new", _NEW_FINDING),
            (f"{comparison.noun}s tested", formats.count(cells)),
            ("Holm's first level", formats.probability(comparison.level)),
            (
                "fewest rounds for any verdict",
                formats.count(power.fewest_rounds(cells, paired=comparison.interleaved)),
            ),
            ("smallest p attainable", f"{_ATTAINABLE[comparison.interleaved]}: {_smallest(comparison)}"),
            ("rounds to see", f"a change of {rules.effect:.0%}, with {power.POWER:.0%} power, interleaved"),
            ("smallest change seen", f"with the repeats there are, with {power.POWER:.0%} power"),
        ]
    )


_NEW_FINDING = (
    "one lost event, or anything else that must never happen, is enough; a missed objective counts if NEW misses it in "
    f"a larger share of its repeats (Fisher's exact test, p at most {FAMILY_LEVEL:g} after Holm's correction). Void "
    "attempts do not count"
)
_ATTAINABLE = {True: "2 / 2ⁿ for n pairs", False: "2 / ways to split all repeats into two runs"}


def _smallest(comparison: Comparison) -> str:
    found = sorted({cell.primary.smallest_p for cell in comparison.cells if cell.primary.p is not None})
    return ", ".join(formats.probability(each) for each in found) or formats.NOTHING

"""The outcome of a run: passed, failed or inconclusive, its first line, and what a reader must know about it.

Only valid repeats count and have findings; docs/concepts.md ("Three outcomes") has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bundle.manifest import Manifest
from bundle.reading import Bundle, Repeat
from bundle.result import Audit
from reports import formats
from reports.answer import answer, breaking, question, undecided
from reports.answer.answer import AnswerRow
from reports.cells import reported
from reports.cells.cells import Cell

DISTURBED = 0.05
"""Share of the machine's CPU that went to what is not of the run: from here on the report says so."""
Level = Literal["failed", "inconclusive", "passed"]
EXIT_CODES: dict[Level, int] = {"passed": 0, "failed": 1, "inconclusive": 4}
_ANYTHING_BUT_ACCOUNTED = {
    "lost": "accepted and then lost",
    "stored_twice": "stored twice",
    "foreign": "foreign: documents that no event of the run explains",
    "differing": "stored with other content than was sent",
}
_FINDING_SAYS = {"lost": "lost", "stored_twice": "stored twice", "foreign": "foreign", "differing": "content"}
_MOST_CELLS_NAMED = 4
_NUMBER = re.compile(r"\d[\d,.]*")


@dataclass(frozen=True)
class Finding:
    """What the system did wrong, and in which repeat."""

    repeat: str
    text: str


@dataclass(frozen=True)
class RunVerdict:
    """``sentence`` is the first of report and terminal; ``cautions`` stand under it.

    ``evidence``: for what breaks first, in one sentence; empty if the sentence names nothing.
    ``undecided``: what the run leaves open; ``culprits``: the cause and what to do; both empty unless the outcome is
    inconclusive. ``rows``: the answer of each configuration.
    """

    level: Level
    sentence: str
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]
    best: Cell | None
    """The cell with the highest drain throughput, by geometric mean; None where no drain is valid."""
    rivals: tuple[Cell, ...]
    """Other drain cells whose intervals overlap that of the best."""
    sustained: Cell | None = None
    """The capacity cell whose search found the most, confirmed ones first; None where no search found a load."""
    evidence: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    culprits: tuple[str, ...] = ()
    rows: tuple[AnswerRow, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 4 inconclusive."""
        return EXIT_CODES[self.level]

    @property
    def outcome(self) -> str:
        """The outcome as a terminal shows it."""
        return self.level.upper()


def decide(bundle: Bundle, cells: Sequence[Cell]) -> RunVerdict:
    """Draw the conclusion from the whole bundle."""
    findings = (
        *(finding for repeat in bundle.repeats for finding in of_repeat(repeat)),
        *(finding for cell in cells for finding in _of_search(cell)),
    )
    left_open = _left_open(bundle, cells)
    level: Level = "failed" if findings else "inconclusive" if left_open else "passed"
    there = bundle.manifest.hardware.cores
    best = answer.fastest(cells)
    culprit = undecided.culprit(bundle, cells) if level == "inconclusive" else ""
    audit, asked = total(bundle.valid), "" if culprit else question.answer(bundle, cells)
    return RunVerdict(
        level=level,
        sentence=answer.with_account(asked, audit) if asked else answer.sentence(cells, audit, there, culprit),
        findings=findings,
        cautions=_cautions(bundle, cells),
        best=best,
        rivals=() if best is None else tuple(cell for cell in cells if _rivals(best, cell)),
        sustained=answer.best(cells),
        evidence=_evidence(cells, there),
        undecided=left_open,
        culprits=undecided.culprits(bundle, cells) if left_open else (),
        rows=answer.rows(cells, there),
    )


def alike(findings: Sequence[Finding]) -> list[Finding]:
    """List each finding once: repeats of a cell whose texts differ only in numbers count as one, with their number."""
    same: dict[tuple[str, str], list[Finding]] = {}
    for each in findings:
        same.setdefault((each.repeat.partition(" round ")[0], _NUMBER.sub("#", each.text)), []).append(each)
    found = []
    for first, *others in same.values():
        more = f" (and in {formats.plural(len(others), 'more repeat')})" if others else ""
        found.append(Finding(first.repeat, first.text + more))
    return found


def total(repeats: Sequence[Repeat]) -> Audit:
    """Sum the audits of the repeats."""
    return sum((repeat.result.audit for repeat in repeats), Audit())


def of_repeat(repeat: Repeat) -> list[Finding]:
    """Return the bench's findings, and check the counts again: a loss shows even if no finding names it.

    A void attempt has none: its measurement is not sound, so what was seen in it proves nothing.
    """
    if not repeat.result.valid:
        return []
    texts = list(repeat.result.findings)
    audit = repeat.result.audit
    for name, words in _ANYTHING_BUT_ACCOUNTED.items():
        number = getattr(audit, name)
        if number and not any(_FINDING_SAYS[name] in text for text in texts):
            texts.append(f"{number:,} {words}")
    if not audit.offered_adds_up:
        texts.append("identity 1 does not close: offered is not accepted + rejected + in doubt + unsent")
    if not audit.accepted_adds_up:
        texts.append("identity 2 does not close: accepted is not stored + dead-lettered + undrained + lost")
    return [Finding(repeat.name, text) for text in texts]


def _of_search(cell: Cell) -> list[Finding]:
    """The finding of a search that held no load at all, although valid probes show that the lowest was too much."""
    if not cell.held_nothing:
        return []
    lowest = formats.rounded(cell.beyond[0].result.offered_load_events_per_s)
    return [Finding(cell.plan.id, f"objective missed: no load was sustained, not even {lowest} events/s")]


def _evidence(cells: Sequence[Cell], cores_there: float) -> tuple[str, ...]:
    """Return the evidence for what breaks first above the highest load held."""
    most = answer.best(cells)
    broke = breaking.find(most, cores_there) if most else None
    return (f"Evidence: {broke.because}.",) if broke and not broke.nothing_broke else ()


def _left_open(bundle: Bundle, cells: Sequence[Cell]) -> tuple[str, ...]:
    """Say what keeps the run from an answer: it did not end, or cells lack valid repeats."""
    said = []
    if bundle.manifest.stopped:
        why = bundle.manifest.stopped
        said.append(f"The run was stopped: {why}. The report covers the repeats that were finished.")
    elif bundle.manifest.status != "complete":
        said.append(_UNFINISHED.get(bundle.manifest.status, f"The run's status is {bundle.manifest.status}."))
    open_cells = undecided.cells(bundle, cells)
    same: dict[str, list[str]] = {}
    for each in open_cells:
        same.setdefault(each.why, []).append(each.label)
    for why, labels in same.items():
        named = ", ".join(labels[:_MOST_CELLS_NAMED])
        more = f" and {len(labels) - _MOST_CELLS_NAMED} more" if len(labels) > _MOST_CELLS_NAMED else ""
        said.append(f"Not decided: {named}{more}: {why}.")
    return tuple(said) if cells else (*said, "The run has no cell.")


_UNFINISHED = {
    "interrupted": "The run was interrupted: the report covers the repeats that were finished.",
    "running": "The run has not ended (status: running): the report covers what is there so far.",
}


def _went_on(manifest: Manifest) -> list[str]:
    """Say that the bench went on although the machine was busy, and which programs used it most; else nothing."""
    spells = [each.found for each in manifest.busy if each.then == "went on"]
    if not spells:
        return []
    most = max(spells, key=lambda each: each.total)
    named = ", ".join(f"{each.name} {each.share:.0%}" for each in most.programs)
    text = f"The machine was busy and the bench went on anyway: others used {most.total:.0%} of its CPU"
    return [f"{text} ({named})." if named else f"{text}."]


def _cautions(bundle: Bundle, cells: Sequence[Cell]) -> tuple[str, ...]:
    manifest = bundle.manifest
    found = _went_on(manifest)
    lacking = reported.sentence(repeat.result for repeat in bundle.repeats)
    found += [f"{manifest.system} was measured. {lacking}"] if lacking else []
    void = sum(cell.void_attempts for cell in cells)
    if void:
        found.append(
            f"{formats.plural(void, 'void attempt')} not counted in any number or finding: see Validity and audit in "
            "the report."
        )
    others = [r.result.disturbance.total for r in bundle.valid if r.result.disturbance]
    if others and max(others) >= DISTURBED:
        disturbed = sum(share >= DISTURBED for share in others)
        found.append(
            f"The machine was not left alone: in {disturbed} of {formats.plural(len(others), 'valid repeat')} other "
            f"programs or the host took {DISTURBED:.0%} of its CPU or more, at most {max(others):.0%}."
        )
    if manifest.changed_bounds:
        bounds = (f"{name} = {formats.value(manifest.bounds.get(name))}" for name in manifest.changed_bounds)
        found.append(f"Validity was judged by changed bounds: {', '.join(bounds)}.")
    found += [note if note.endswith(".") else note + "." for note in bundle.notes]
    return (*found, *_together([note for cell in cells for note in cell.notes]))


def _together(notes: Sequence[str]) -> list[str]:
    """Merge notes that differ only in the repeat that they name."""
    alike: dict[str, list[str]] = {}
    for note in notes:
        which, _, what = note.partition(": ")
        alike.setdefault(what, []).append(which)
    return [
        f"{which[0]}{f' and in {len(which) - 1} more cells' * (len(which) > 1)}: {what}."
        for what, which in alike.items()
    ]


def _rivals(best: Cell, other: Cell) -> bool:
    if other is best or other.plan.kind != best.plan.kind or best.throughput is None or other.throughput is None:
        return False
    return best.throughput.overlaps(other.throughput)

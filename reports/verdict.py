"""The finding in one sentence, whether it is red, and what a reader must know before the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports import formats, searches
from reports.bundle import CAPACITY, Bundle, Repeat
from reports.cells import Cell
from reports.schema import Audit

DISTURBED = 0.05
"""Share of the machine's CPU that went to what is not of the run: from here on the reader is told."""
Level = Literal["findings", "incomplete", "clear"]
_ANYTHING_BUT_ACCOUNTED = {
    "lost": "accepted and then lost",
    "stored_twice": "stored twice",
    "foreign": "foreign: documents that no event of the run explains",
    "differing": "stored with other content than was sent",
}
_FINDING_SAYS = {"lost": "lost", "stored_twice": "stored twice", "foreign": "foreign", "differing": "content"}


@dataclass(frozen=True)
class Finding:
    """What the system did wrong, and in which attempt at a repeat."""

    repeat: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """``sentence`` is the report's first; ``cautions`` stand under it."""

    level: Level
    sentence: str
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]
    best: Cell | None
    """The cell with the highest drain throughput, by geometric mean; None where no drain is valid."""
    rivals: tuple[Cell, ...]
    """Other drain cells whose intervals overlap that of the best."""
    measured: bool
    """Whether any repeat is valid."""
    sustained: Cell | None = None
    """The capacity cell whose search found the most, confirmed ones first; None where no search found a load."""

    @property
    def exit_code(self) -> int:
        """1 with findings, or where nothing was measured; else 0."""
        return 1 if self.findings or not self.measured else 0


def judge(bundle: Bundle, cells: Sequence[Cell]) -> Verdict:
    """Draw the conclusion from the whole bundle."""
    findings = tuple(finding for repeat in bundle.repeats for finding in of_repeat(repeat))
    cautions = _cautions(bundle, cells)
    best = _fastest(cells, "drain")
    rivals = () if best is None else tuple(c for c in cells if _rivals(best, c))
    level: Level = "findings" if findings else "incomplete" if _incomplete(bundle, cells) else "clear"
    sustained = _sustains_most(cells)
    clauses = (
        _went_wrong(findings, bundle.repeats),
        _capacity(sustained, cells),
        _performance(best, cells, sustained),
        _accounted(bundle, findings),
    )
    sentence = "; ".join(clause for clause in clauses if clause) + "."
    sentence = sentence[0].upper() + sentence[1:]
    measured = any(cell.valid for cell in cells)
    return Verdict(level, sentence, findings, cautions, best, rivals, measured, sustained)


def total(repeats: Sequence[Repeat]) -> Audit:
    """Sum the audits of the repeats."""
    return sum((repeat.result.audit for repeat in repeats if repeat.result.audit), Audit())


def of_repeat(repeat: Repeat) -> list[Finding]:
    """Take the bench's findings, and look at the counts once more: a loss shows even where no finding names it."""
    texts = list(repeat.result.findings)
    audit = repeat.result.audit
    if audit is not None:
        for name, words in _ANYTHING_BUT_ACCOUNTED.items():
            number = getattr(audit, name)
            if number and not any(_FINDING_SAYS[name] in text for text in texts):
                texts.append(f"{number:,} {words}")
        if repeat.result.valid:
            if not audit.offered_closes:
                texts.append("identity 1 does not close: offered is not accepted + rejected + in doubt + unsent")
            if not audit.accepted_closes:
                texts.append("identity 2 does not close: accepted is not stored + dead-lettered + undrained + lost")
    return [Finding(repeat.name, text) for text in texts]


def _cautions(bundle: Bundle, cells: Sequence[Cell]) -> tuple[str, ...]:
    manifest = bundle.manifest
    found = []
    if manifest.status == "interrupted":
        found.append("The run was interrupted: the report covers the repeats that were finished.")
    elif manifest.status != "complete":
        found.append(f"The run is not complete (status: {manifest.status}): the report covers what is there so far.")
    if not bundle.repeats:
        found.append("No repeat has a result yet.")
    empty = [cell.label_with_kind for cell in cells if not cell.valid]
    if empty and bundle.repeats:
        found.append(f"Without a valid repeat: {', '.join(empty)}.")
    unsure = [c.label for c in cells if c.capacity and c.capacity.sustainable_events_per_s and not c.capacity.confirmed]
    if unsure:
        found.append(f"Sustainable throughput not confirmed by repeats: {', '.join(unsure)}.")
    void = sum(cell.void_attempts for cell in cells)
    if void:
        found.append(f"{formats.plural(void, 'void attempt')} not counted in the numbers; the report says why.")
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
    return tuple(found + [note + "." for cell in cells for note in cell.notes])


def _incomplete(bundle: Bundle, cells: Sequence[Cell]) -> bool:
    return (
        bundle.manifest.status != "complete"
        or not bundle.repeats
        or bool(bundle.notes)
        or any(not cell.valid or cell.notes for cell in cells)
    )


def _went_wrong(findings: Sequence[Finding], repeats: Sequence[Repeat]) -> str:
    """Say first what went wrong: losses with their number, otherwise the first finding."""
    if not findings:
        return ""
    where = list(dict.fromkeys(finding.repeat for finding in findings))
    place = where[0] if len(where) == 1 else f"{len(where)} repeats, first {where[0]}"
    lost = sum(repeat.result.audit.lost for repeat in repeats if repeat.result.audit)
    if lost:
        verb = "was" if lost == 1 else "were"
        others = len([finding for finding in findings if "lost" not in finding.text])
        more = (
            f", and there {'is' if others == 1 else 'are'} {formats.plural(others, 'more finding')}" if others else ""
        )
        return f"{formats.plural(lost, 'accepted event')} {verb} lost ({place}){more}"
    more = f", and {formats.plural(len(findings) - 1, 'more finding')}" if len(findings) > 1 else ""
    return f"{findings[0].text.rstrip('.')} ({findings[0].repeat}){more}"


def _capacity(sustained: Cell | None, cells: Sequence[Cell]) -> str:
    """Say what was found sustained, with its interval and under which objective."""
    if sustained is None or sustained.capacity is None:
        searched = [cell for cell in cells if cell.plan.kind == CAPACITY and cell.capacity]
        return (
            f"no load was found sustained in {formats.plural(len(searched), 'search', 'searches')}" if searched else ""
        )
    found = sustained.capacity
    spread = f"{found.confidence:.0%} interval of the limit {searches.interval(found)}"
    sure = "" if found.confirmed else ", not confirmed"
    number = formats.rounded(found.sustainable_events_per_s)
    verb = "sustains" if sustained.sentence.startswith("1 ") else "sustain"
    return f"{sustained.sentence} {verb} {number} events/s ({spread}{sure}) at {searches.objective(found)}"


def _sustains_most(cells: Sequence[Cell]) -> Cell | None:
    found = [
        (cell.capacity.confirmed, cell.capacity.sustainable_events_per_s, cell)
        for cell in cells
        if cell.capacity and cell.capacity.sustainable_events_per_s
    ]
    return max(found, key=lambda each: each[:2])[2] if found else None


def _performance(best: Cell | None, cells: Sequence[Cell], sustained: Cell | None) -> str:
    if best is not None and best.throughput is not None:
        interval = best.throughput
        spread = "1 repeat, so no interval"
        if interval.low is not None:
            spread = f"95% t interval {formats.rounded(interval.low)} to {formats.rounded(interval.high)}"
            spread += f", {formats.plural(interval.n, 'repeat')}"
        bound = ""
        if best.bottleneck is not None:
            name = best.bottleneck.name
            bound = f", bound by {name}" if name else ", and what bounds it is not determined"
        if sustained is not None:  # that is the finding: here in few words, in full below
            return f"the fastest drain, {best.sentence}, reached {formats.rounded(interval.mean)} events/s{bound}"
        return f"{best.sentence} drained {formats.rounded(interval.mean)} events/s ({spread}){bound}"
    if sustained is not None:
        return ""
    steady = [cell for cell in cells if cell.valid and cell.offered_load is not None]
    if steady:
        most = max(steady, key=lambda cell: cell.offered_load or 0.0)
        return (
            f"at the highest offered load, {formats.rounded(most.offered_load)} events/s, {most.sentence} stored "
            f"{formats.share(most.achieved)} of what was offered in the window"
        )
    return "no cell has a valid repeat, so there is no throughput to report"


def _accounted(bundle: Bundle, findings: Sequence[Finding]) -> str:
    """Close with the account of every accepted event."""
    audit = total(bundle.repeats)
    if not audit.accepted:
        return ""
    if findings:
        return f"{formats.count(audit.stored_accepted)} of {formats.count(audit.accepted)} accepted events are stored"
    return f"all {formats.count(audit.accepted)} accepted events are accounted for, none lost"


def _fastest(cells: Sequence[Cell], kind: str) -> Cell | None:
    measured = [(cell.throughput.mean, cell) for cell in cells if cell.plan.kind == kind and cell.throughput]
    return max(measured, key=lambda pair: pair[0])[1] if measured else None


def _rivals(best: Cell, other: Cell) -> bool:
    if other is best or other.plan.kind != best.plan.kind or best.throughput is None or other.throughput is None:
        return False
    return best.throughput.overlaps(other.throughput)

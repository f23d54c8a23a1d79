"""Validity and audit: the counts, why attempts are void, by which bounds, and whether the witness agrees."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.reading import Bundle
from reports import formats
from reports.cells import reported
from reports.cells.cells import Cell
from reports.sections import calibration
from reports.sections.section import Section, SectionPart
from reports.tables import account, soundness, table

_FEW = 6
_HOW_AUDITED = (
    "Valid says that the measurement is sound; findings say what the system did wrong. Every event is followed by its "
    "identity through ledger, Kafka, deliveries and documents; documents are compared with what was sent, field by "
    "field."
)
_TOO_SHORT = "Its window is too short to make it void for that, but it does not count when its cell is decided."
_BOUNDS_SUMMARY = "Bounds of validity, the worst that was measured of each, and the attempts that it voided"
_NOTHING_TO_HOLD_AGAINST = f"The moments that a witness would be held against: {reported.NOT_REPORTED}."
_WITNESS_SUMMARY = "The witness, cell by cell: what it read from MongoDB against what the deliveries logs say"


def section(bundle: Bundle, cells: Sequence[Cell]) -> Section:
    """Both identities stand above it; here are the counts, void attempts, bounds and the witness."""
    voids = formats.plural(sum(cell.void_attempts for cell in cells), "void attempt")
    counts = f"{formats.plural(len(bundle.valid), 'valid repeat')}, {voids}."
    bounds = SectionPart(words=(_nearest(bundle),), table=soundness.bounds(bundle), summary=_BOUNDS_SUMMARY)
    parts = [
        SectionPart(
            words=(f"{counts} {_HOW_AUDITED}",), table=account.audit_total(bundle), summary="The audit, summed"
        ),
        SectionPart(table=account.audit_by_repeat(bundle), summary="The audit of every attempt"),
        *_void(bundle),
        _witness(cells),
        bounds,
        calibration.part(bundle, cells),
    ]
    objective = {k: v for k, v in (bundle.manifest.matrix.objective or {}).items() if v is not None}
    if objective:
        rows = [[name, formats.value(value)] for name, value in objective.items()]
        parts.append(SectionPart(table=table(["objective", "at most"], rows), summary="The objective"))
    return Section("audit", "Validity and audit", "Audit", tuple(parts))


def _void(bundle: Bundle) -> list[SectionPart]:
    """Every void attempt with its reasons; where there are many, the reasons counted before them."""
    number = len(bundle.repeats) - len(bundle.valid)
    if not number:
        return []
    every = soundness.void_attempts(bundle)
    if number <= _FEW:
        return [SectionPart(table=every)]
    return [
        SectionPart(table=soundness.void_reasons(bundle)),
        SectionPart(table=every, summary=f"All {number} void attempts"),
    ]


def _nearest(bundle: Bundle) -> str:
    """Say which bound a valid repeat came nearest to, as a share of it."""
    shares = []
    for name, bound in soundness.BOUNDS.items():
        limit, found = bundle.manifest.bounds.get(name), soundness.worst(bundle, name)
        if found and limit and not bound.least and not bound.used_up:
            shares.append((found.value / limit, name, bound.form(found.value), found.repeat, bound.form(limit)))
    if not shares:
        return ""
    share, name, said, repeat, allowed = max(shares)
    if share > 1:
        beyond = f"{repeat} exceeded a bound of validity and is valid all the same: {name} {said} of {allowed} allowed."
        return f"{beyond} {_TOO_SHORT}" if name == "disturbed_share" else beyond
    return f"Nearest to a bound of validity came {repeat}: {name} {said}, {share:.0%} of the {allowed} allowed."


def _witness(cells: Sequence[Cell]) -> SectionPart:
    """Say in one sentence whether the witness agrees, with the cells behind it."""
    witnessed = [repeat.result.witness for cell in cells for repeat in cell.valid if repeat.result.witness]
    if not witnessed:
        lacking = reported.lacks([repeat.result for cell in cells for repeat in cell.attempts], "stamps")
        return SectionPart(words=(_NOTHING_TO_HOLD_AGAINST,)) if lacking else SectionPart()
    read = formats.plural(sum(one.events for one in witnessed), "event")
    repeats = formats.plural(len(witnessed), "valid repeat")
    disagreeing = sum(one.disagreeing for one in witnessed)
    beyond = formats.milliseconds(max(one.beyond_max_ms for one in witnessed))
    tolerance = formats.milliseconds(max(one.tolerance_ms for one in witnessed))
    says = f"{formats.count(disagreeing)} of them disagree" if disagreeing else "none of them disagrees"
    sentence = (
        f"An independent witness sent {read} of its own in {repeats} and polled MongoDB until it read them: {says} "
        f"with the deliveries logs by more than {tolerance} ms beyond its polling resolution; the most is {beyond} ms."
    )
    return SectionPart(words=(sentence,), table=soundness.witnesses(cells), summary=_WITNESS_SUMMARY)

"""The account of every event: both identities as sums, and the audit's counts, summed and attempt by attempt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bundle.reading import Bundle, Repeat
from bundle.reported import Report
from bundle.result import Audit
from reports import formats
from reports.cells import reported
from reports.tables import Table, table

_AUDIT_COLUMNS = (
    ("offered", "offered"),
    ("accepted", "accepted"),
    ("rejected", "rejected"),
    ("in_doubt", "in doubt"),
    ("unsent", "unsent"),
    ("stored_accepted", "stored, accepted"),
    ("dead_lettered", "dead-lettered"),
    ("undrained", "undrained"),
    ("lost", "lost"),
    ("stored_in_doubt", "stored, in doubt"),
    ("stored_rejected", "stored, rejected"),
    ("stored_twice", "stored twice"),
    ("delivered_twice", "delivered twice"),
    ("foreign", "foreign"),
    ("compared", "compared"),
    ("differing", "differing"),
)

_RESTS_ON: dict[str, Report] = {
    **dict.fromkeys(("stored_accepted", "lost", "stored_in_doubt", "stored_rejected", "stored_twice"), "documents"),
    **dict.fromkeys(("foreign", "compared", "differing"), "documents"),
    **dict.fromkeys(("dead_lettered", "undrained"), "backlog"),
    "delivered_twice": "stamps",
}
"""What a count cannot be had without."""


@dataclass(frozen=True)
class AuditSum:
    """One identity as a sum: ``whole`` = the ``parts``; ``adds_up`` says whether it does."""

    whole: tuple[str, int]
    parts: tuple[tuple[str, int], ...]
    adds_up: bool


def identities(audit: Audit, not_reported: Collection[Report] = ()) -> tuple[AuditSum, ...]:
    """Return both identities of an audit, as sums, without what the system does not report."""
    offered: tuple[tuple[str, int], ...] = (("accepted", audit.accepted), ("rejected", audit.rejected))
    offered += (("in doubt", audit.in_doubt), ("unsent", audit.unsent))
    accepted: tuple[tuple[str, int], ...] = (
        ("stored (accepted)", audit.stored_accepted),
        ("dead-lettered", audit.dead_lettered),
    )
    accepted += (("undrained", audit.undrained), ("lost", audit.lost))
    if "backlog" in not_reported:
        accepted = (accepted[0], accepted[-1])
    first = AuditSum(("offered", audit.offered), offered, audit.offered_adds_up)
    if "documents" in not_reported:
        return (first,)
    return first, AuditSum(("accepted", audit.accepted), accepted, audit.accepted_adds_up)


def besides(audit: Audit, not_reported: Collection[Report] = ()) -> tuple[tuple[str, str, bool], ...]:
    """Return the counts that no identity holds: name, number, and whether it must be 0 and is not.

    What the system does not report has words in place of a number, the counts too that an identity is shown without.
    """
    rest = {name: report for name, report in _RESTS_ON.items() if report in not_reported}
    if not rest:
        return _besides(audit)
    known = [each for each in _besides(audit) if _KEYS[each[0]] not in rest]
    heads = [head for name, head in _AUDIT_COLUMNS if name in rest]
    return (*known, (", ".join(heads), reported.NOT_REPORTED, False))


_KEYS = {
    "stored twice": "stored_twice",
    "foreign": "foreign",
    "differing": "differing",
    "stored, in doubt": "stored_in_doubt",
    "stored, rejected": "stored_rejected",
    "delivered twice (allowed)": "delivered_twice",
}


def _besides(audit: Audit) -> tuple[tuple[str, str, bool], ...]:
    return (
        ("stored twice", formats.count(audit.stored_twice), audit.stored_twice > 0),
        ("foreign", formats.count(audit.foreign), audit.foreign > 0),
        (
            "differing",
            f"{formats.count(audit.differing)} of {formats.count(audit.compared)} compared",
            audit.differing > 0,
        ),
        ("stored, in doubt", formats.count(audit.stored_in_doubt), False),
        ("stored, rejected", formats.count(audit.stored_rejected), False),
        ("delivered twice (allowed)", formats.count(audit.delivered_twice), False),
    )


def audit_total(bundle: Bundle) -> Table:
    """Sum the audits of valid repeats, of void attempts, and of both: one row a count."""
    groups = {
        "valid repeats": [repeat for repeat in bundle.repeats if repeat.result.valid],
        "void attempts": [repeat for repeat in bundle.repeats if not repeat.result.valid],
        "all": list(bundle.repeats),
    }
    sums = [sum((r.result.audit for r in repeats), Audit()) for repeats in groups.values()]
    columns = [_audit_cells(audit, _missing(repeats)) for audit, repeats in zip(sums, groups.values(), strict=True)]
    names = [*(head for _, head in _AUDIT_COLUMNS), "both identities"]
    heads = ["events", *(f"{name} ({len(repeats)})" for name, repeats in groups.items())]
    return table(heads, [[name, *row] for name, row in zip(names, zip(*columns, strict=True), strict=True)])


def audit_by_repeat(bundle: Bundle) -> Table:
    """One row an attempt, with whether it is valid and whether both identities close."""
    rows, marked = [], []
    for index, repeat in enumerate(bundle.repeats):
        if repeat.result.findings or not repeat.result.valid:
            marked.append(index)
        *counts, closed = _audit_cells(repeat.result.audit, repeat.result.not_reported)
        rows.append([repeat.name, "valid" if repeat.result.valid else "void", closed, *counts])
    heads = ["repeat", "validity", "identities", *(head for _, head in _AUDIT_COLUMNS)]
    return table(heads, rows, text=3, marked=marked)


def _missing(repeats: Sequence[Repeat]) -> tuple[Report, ...]:
    return reported.missing(repeat.result for repeat in repeats)


def _audit_cells(audit: Audit, not_reported: Collection[Report]) -> list[str]:
    accepted_adds_up = audit.accepted_adds_up or "documents" in not_reported
    closed = "close" if audit.offered_adds_up and accepted_adds_up else "DO NOT CLOSE"
    counts = [
        reported.NOT_REPORTED if _RESTS_ON.get(name) in not_reported else formats.count(getattr(audit, name))
        for name, _ in _AUDIT_COLUMNS
    ]
    return [*counts, closed]

"""The account of every event: both identities as sums, and the audit's counts, summed and attempt by attempt."""

from __future__ import annotations

from dataclasses import dataclass

from bundle.reading import Bundle
from bundle.result import Audit
from reports import formats
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


@dataclass(frozen=True)
class Identity:
    """One identity as a sum: ``whole`` = the ``parts``; ``closes`` says whether it does."""

    name: str
    whole: tuple[str, int]
    parts: tuple[tuple[str, int], ...]
    closes: bool


def identities(audit: Audit) -> tuple[Identity, Identity]:
    """Give both identities of an audit, as sums."""
    offered: tuple[tuple[str, int], ...] = (("accepted", audit.accepted), ("rejected", audit.rejected))
    offered += (("in doubt", audit.in_doubt), ("unsent", audit.unsent))
    accepted: tuple[tuple[str, int], ...] = (
        ("stored (accepted)", audit.stored_accepted),
        ("dead-lettered", audit.dead_lettered),
    )
    accepted += (("undrained", audit.undrained), ("lost", audit.lost))
    return (
        Identity("Identity 1", ("offered", audit.offered), offered, audit.offered_adds_up),
        Identity("Identity 2", ("accepted", audit.accepted), accepted, audit.accepted_adds_up),
    )


def besides(audit: Audit) -> tuple[tuple[str, str, bool], ...]:
    """Give the counts that no identity holds: name, number, and whether it must be 0 and is not."""
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
    columns = [_audit_cells(audit) for audit in sums]
    names = [*(head for _, head in _AUDIT_COLUMNS), "both identities"]
    heads = ["events", *(f"{name} ({len(repeats)})" for name, repeats in groups.items())]
    return table(heads, [[name, *row] for name, row in zip(names, zip(*columns, strict=True), strict=True)])


def audit_by_repeat(bundle: Bundle) -> Table:
    """One row an attempt, with whether it is valid and whether both identities close."""
    rows, marked = [], []
    for index, repeat in enumerate(bundle.repeats):
        if repeat.result.findings or not repeat.result.valid:
            marked.append(index)
        *counts, closed = _audit_cells(repeat.result.audit)
        rows.append([repeat.name, "valid" if repeat.result.valid else "void", closed, *counts])
    heads = ["repeat", "validity", "identities", *(head for _, head in _AUDIT_COLUMNS)]
    return table(heads, rows, text=3, marked=marked)


def _audit_cells(audit: Audit) -> list[str]:
    closed = "close" if audit.offered_adds_up and audit.accepted_adds_up else "DO NOT CLOSE"
    return [*(formats.count(getattr(audit, name)) for name, _ in _AUDIT_COLUMNS), closed]

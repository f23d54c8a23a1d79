"""The audit: where every event of a repeat ended, event by event.

Nothing here is a difference of totals: each count is of events found, by identity, in the ledger,
in the collection, in the dead-letter topic, in the rest of the topics and in the deliveries logs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.evidence.deliveries import Deliveries
from bench.evidence.documents import Documents
from bench.evidence.leftovers import Leftovers
from bench.evidence.offered import Offered
from bench.judge import detectors
from bench.judge.detectors import Detector, Detectors
from bundle.reported import REPORTS, Report
from bundle.result import Audit
from traffic.ledger import Outcome

_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Accounting:
    """The counts, what the system did wrong, and what makes the measurement itself unsound."""

    audit: Audit
    findings: tuple[str, ...]
    reasons: tuple[str, ...]


def account(
    offered: Offered,
    scheduled: int,
    deliveries: Deliveries,
    documents: Documents,
    leftovers: Leftovers,
    looked_for: Detectors = detectors.ALL,
    reported: Collection[Report] = REPORTS,
) -> Accounting:
    """Account for every event. ``scheduled``: events that the schedule intends, computed apart from the ledger.

    ``reported``: what the system reports. Without its documents, nothing is said of what became of accepted events.
    """
    outcome = offered.per_event("outcome")
    accepted = outcome == Outcome.ACCEPTED
    unsent = outcome == Outcome.UNSENT
    found = documents.count_per_event > 0
    stored = found & ~unsent
    dead = _present(offered, leftovers.dead_letters)
    undrained = _present(offered, leftovers.undrained)
    lost = accepted & ~found & ~dead & ~undrained & (Detector.LOST in looked_for and "documents" in reported)
    further = np.maximum(documents.count_per_event - 1, 0) * (Detector.STORED_TWICE in looked_for)
    foreign = documents.foreign + int(documents.count_per_event[unsent].sum())
    delivered = offered.index_of(deliveries.rows["id_low"])
    delivered_count = np.bincount(delivered[delivered >= 0], minlength=offered.events)
    audit = Audit(
        offered=scheduled,
        accepted=_count(accepted),
        rejected=_count(outcome == Outcome.REJECTED),
        in_doubt=_count(outcome == Outcome.IN_DOUBT),
        unsent=_count(unsent),
        stored=_count(stored),
        stored_accepted=_count(stored & accepted),
        stored_in_doubt=_count(stored & (outcome == Outcome.IN_DOUBT)),
        stored_rejected=_count(stored & (outcome == Outcome.REJECTED)),
        dead_lettered=_count(accepted & ~found & dead),
        undrained=_count(accepted & ~found & ~dead & undrained),
        lost=_count(lost),
        stored_twice=int(further.sum()),
        delivered_twice=int(np.maximum(delivered_count - 1, 0).sum()) * (Detector.DELIVERED_TWICE in looked_for),
        foreign=foreign * (Detector.FOREIGN in looked_for),
        compared=documents.compared,
        differing=documents.differing * (Detector.DIFFERING in looked_for),
    )
    strangers = "_id " + ", ".join(documents.strangers) if documents.strangers else ""
    unexplained = "; ".join(each for each in (strangers, _examples(offered, found & unsent)) if each)
    findings = [
        *_finding(audit.lost, "accepted and then lost", "; ".join((_examples(offered, lost), *leftovers.gaps))),
        *_finding(audit.stored_twice, "stored twice", _examples(offered, further > 0)),
        # With an incomplete ledger, an event that is missing from it looks foreign and is not.
        *_finding(
            audit.foreign * offered.complete, "foreign: documents that no event of the run explains", unexplained
        ),
        *_finding(audit.differing, "stored with other content than was sent", "; ".join(documents.differences)),
        *_finding(audit.dead_lettered, "dead-lettered", _examples(offered, dead)),
        *_finding(audit.undrained, "undrained: still in Kafka at the end", _examples(offered, undrained & ~found)),
    ]
    return Accounting(audit, tuple(findings), tuple(_unsound(audit, offered, stored, delivered_count, reported)))


def _unsound(
    audit: Audit,
    offered: Offered,
    stored: NDArray[np.bool_],
    delivered_count: NDArray[np.int64],
    reported: Collection[Report],
) -> list[str]:
    """Check the accounting itself; what the system did is not judged here."""
    reasons = []
    if not offered.complete:
        unknown = f": {audit.foreign:,} documents belong to no event in it" if audit.foreign else ""
        reasons.append(f"accounting: a generator process did not close its ledger{unknown}")
    if not audit.offered_adds_up:
        reasons.append(f"accounting: the schedule intends {audit.offered} events, the ledger has {offered.events}")
    if not audit.accepted_adds_up and "documents" in reported:
        reasons.append(
            f"accounting: {audit.accepted} accepted are not {audit.stored_accepted} stored, {audit.dead_lettered} "
            f"dead-lettered, {audit.undrained} undrained and {audit.lost} lost"
        )
    unrecorded = _count(stored & (delivered_count == 0))
    if unrecorded and "stamps" in reported:
        reasons.append(f"accounting: {unrecorded} stored events are in no deliveries log")
    if audit.stored_accepted and not audit.compared:
        reasons.append("accounting: no document was compared with what was sent")
    return reasons


def _present(offered: Offered, id_low: NDArray[np.uint64]) -> NDArray[np.bool_]:
    present = np.zeros(offered.events, dtype=bool)
    index = offered.index_of(id_low)
    present[index[index >= 0]] = True
    return present


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _finding(count: int, what: str, examples: str = "") -> list[str]:
    return [f"{count:,} {what}" + (f" ({examples})" if examples else "")] if count else []


def _examples(offered: Offered, mask: NDArray[np.bool_]) -> str:
    """Name the first few events by stream and sequence."""
    rows = offered.rows
    named = []
    for index in np.flatnonzero(mask)[:_MAX_EXAMPLES]:
        stream = int(rows["stream"][offered.row_of_event[index]])
        named.append(f"{stream}/{int(index) - int(offered.stream_base[stream])}")
    return "stream/sequence " + ", ".join(named) if named else ""

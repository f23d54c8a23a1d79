"""The witness against the deliveries log: whether they tell the same of the same events.

The witness knows of each of its events that it could be read in MongoDB not before the last poll that missed it began,
and at the latest when the poll that read it ended. The worker's log says that it was written between its fetch and its
acknowledgement. A large write becomes visible bit by bit before it is acknowledged; so the two agree if these spans
meet, and by as much as they miss each other they disagree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.causality import NEVER, NONE, Stamps
from bench.evidence import Evidence
from bench.matrix import Bounds
from bench.result import WitnessAgreement
from loadtest._identity import WITNESS_STREAM
from loadtest._ledger import Outcome

MIN_EVENTS = 5
_MS = 1_000_000


def judge(
    evidence: Evidence, at: Stamps, start_ns: int, end_ns: int, bounds: Bounds
) -> tuple[WitnessAgreement | None, list[str]]:
    """Compare what both say of the witness's events intended in [start_ns, end_ns); None without a witness.

    Gives the comparison, and the reasons for which it cannot be made. That the two disagree is no reason here:
    :mod:`bench.causality` tells it, of these events and of those before the window.
    """
    if evidence.witness is None:
        return None, []
    offered = evidence.audited
    ours = offered.per_event("stream") == WITNESS_STREAM
    ours &= (at["intended"] >= start_ns) & (at["intended"] < end_ns)
    delivered = ours & (offered.per_event("outcome") == Outcome.ACCEPTED) & (at["acknowledged"] != NONE)
    compared = delivered & (at["seen"] != NONE)
    return _compare(at, compared, bounds), _unsound(evidence, int(delivered.sum()), int(compared.sum()))


def _unsound(evidence: Evidence, delivered: int, compared: int) -> list[str]:
    """Say why the witness cannot speak; that the window is short, or the system took nothing, is no fault of its."""
    reasons = []
    if evidence.witness and evidence.witness.exit_code != 0:
        reasons.append(f"witness: it ended with exit code {evidence.witness.exit_code}, see logs/witness.log")
    if compared < MIN_EVENTS <= delivered:
        reasons.append(
            f"witness: only {compared} events compared of {delivered} that were stored, fewer than {MIN_EVENTS}: "
            "see logs/witness.log"
        )
    return reasons


def _compare(at: Stamps, compared: NDArray[np.bool_], bounds: Bounds) -> WitnessAgreement:
    intended, acknowledged = at["intended"][compared], at["acknowledged"][compared]
    seen, sent = at["seen"][compared], at["sent"][compared]
    missed = np.where(at["missed"][compared] == NONE, sent, at["missed"][compared])  # it cannot be there unsent
    beyond = np.maximum(np.maximum(at["fetched"][compared] - seen, missed - acknowledged), 0)
    read = seen != NEVER
    return WitnessAgreement(
        events=int(compared.sum()),
        disagreeing=int((beyond > bounds.witness_tolerance_ms * _MS).sum()),
        tolerance_ms=bounds.witness_tolerance_ms,
        resolution_ms=_median_ms((seen - missed)[read]),
        seen_p50_ms=_median_ms((seen - intended)[read]),
        logged_p50_ms=_median_ms((acknowledged - intended)[read]),
        beyond_max_ms=float(beyond.max(initial=0)) / _MS,
    )


def _median_ms(values: NDArray[np.int64]) -> float | None:
    return float(np.median(values)) / _MS if len(values) else None

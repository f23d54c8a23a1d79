"""The witness against the deliveries log: whether both say the same about the same events.

The witness knows of each of its events that it could be read in MongoDB not before the last poll that missed it began,
and at the latest when the poll that read it ended. The worker's log says that it was written between its fetch and its
acknowledgement. A large write becomes visible bit by bit before it is acknowledged; so the two agree on an event if
these spans meet, and by as much as they miss each other they disagree. An acknowledgement that is stamped too late
keeps the spans together. But few events can be read long before the end of their write, and in the median none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.cells.bounds import Bounds
from bench.evidence.evidence import Evidence, Witnessed
from bench.judge import detectors
from bench.judge.causality import NEVER, NONE, Stamps
from bench.judge.detectors import Detector, Detectors
from bundle.result import WitnessAgreement
from traffic.identity import WITNESS_STREAM
from traffic.ledger import Outcome

MIN_EVENTS = 5
_MS = 1_000_000


@dataclass(frozen=True)
class WitnessCheck:
    """``compared``: what both say, None without a witness; ``reasons``: why the repeat is void by it.

    ``late_ms``: how much later than the witness read it the log has an event acknowledged, in the median; below zero
    where that is earlier, as it should be.
    """

    compared: WitnessAgreement | None = None
    late_ms: float | None = None
    reasons: tuple[str, ...] = ()


def check(
    evidence: Evidence, at: Stamps, window_ns: tuple[int, int], bounds: Bounds, looked_for: Detectors = detectors.ALL
) -> WitnessCheck:
    """Compare what both say of the witness's events that are intended in ``window_ns``, from and until.

    That the spans of an event do not meet is no reason here: :mod:`bench.judge.causality` reports it, of these events
    and of those before the window.
    """
    if evidence.witness is None or Detector.WITNESS not in looked_for:
        return WitnessCheck()
    offered = evidence.audited
    ours = offered.per_event("stream") == WITNESS_STREAM
    ours &= (at["intended"] >= window_ns[0]) & (at["intended"] < window_ns[1])
    delivered = ours & (offered.per_event("outcome") == Outcome.ACCEPTED) & (at["acknowledged"] != NONE)
    compared = delivered & (at["seen"] != NONE)
    read = compared & (at["seen"] != NEVER)
    late_ms = _median_ms((at["acknowledged"] - at["seen"])[read])
    reasons = _unsound(evidence.witness, int(delivered.sum()), int(compared.sum()))
    if late_ms is not None and late_ms > bounds.witness_tolerance_ms and read.sum() >= MIN_EVENTS:
        reasons.append(
            f"witness: half of {int(read.sum())} events were read {late_ms:,.1f} ms or more before the worker's log "
            f"says that they were acknowledged, more than {bounds.witness_tolerance_ms:g} ms: its stamps are late"
        )
    return WitnessCheck(_compare(at, compared, bounds), late_ms, tuple(reasons))


def _unsound(witness: Witnessed, delivered: int, compared: int) -> list[str]:
    """Say why the witness cannot speak; that the window is short, or the system took nothing, is no fault of its."""
    reasons = []
    if witness.exit_code != 0:
        reasons.append(f"witness: it ended with exit code {witness.exit_code}, see logs/witness.log")
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

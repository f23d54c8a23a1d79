"""A repeat's evidence as each role's own clock stamps it: true times in, shifted stamps out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.evidence.deliveries import DELIVERY, Deliveries, consumer
from bench.evidence.documents import Documents
from bench.evidence.evidence import Backlog, Evidence, Witnessed
from bench.evidence.leftovers import Leftovers
from bench.evidence.offered import ROW, Offered
from bench.evidence.sightings import SIGHTING
from bench.observe.sampling import ROLES, ClockSamples, Sample, Usage
from tests.unit.identities import id_low_array
from traffic.identity import WITNESS_STREAM
from traffic.ledger import NO_TIME, Outcome

MS, S = 1_000_000, 1_000_000_000
RUN = 3
JUMP_NS = 3 * S
POLL_NS = 10 * MS
WALL_NS = 1_700_000_000 * S
LOAD, WITNESS = 600, 24  # events, over 6 s


class Clock:
    """A role's monotonic clock: right until ``JUMP_NS``, ``ahead_ms`` ahead from then on."""

    def __init__(self, ahead_ms: float = 0.0) -> None:
        self._ahead_ns = round(ahead_ms * MS)

    def stamp(self, true_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(true_ns < JUMP_NS, true_ns, true_ns + self._ahead_ns)

    def reaches(self, stamp_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """When the clock first says so: when a sender that waits for it goes on."""
        after = np.maximum(stamp_ns - self._ahead_ns, JUMP_NS)
        return np.where(stamp_ns < JUMP_NS, stamp_ns, after)


def evidence_of(write_ms: float = 10.0, **ahead_ms: float) -> Evidence:
    """Single events of load and witness: received 2 ms, answered 5 ms, fetched 10 ms after they are sent, then written.

    ``ahead_ms``: by how much each role's clock is ahead (below zero: behind) after the jump; roles are generator, api,
    worker, witness and harness.
    """
    clocks = {role: Clock(ahead_ms.get(role, 0.0)) for role in ("generator", "api", "worker", "witness", "harness")}
    intended = np.concatenate([np.arange(LOAD) * 10 * MS, 40 * MS + np.arange(WITNESS) * 250 * MS])
    of_witness = np.arange(LOAD + WITNESS) >= LOAD
    sender = clocks["generator"], clocks["witness"]
    sent = 1 * MS + np.where(of_witness, sender[1].reaches(intended), sender[0].reaches(intended))
    rows = np.zeros(LOAD + WITNESS, dtype=ROW)
    rows["stream"] = np.where(of_witness, WITNESS_STREAM, 0)
    rows["first"], rows["count"] = np.concatenate([np.arange(LOAD), np.arange(WITNESS)]), 1
    rows["outcome"], rows["intended"] = Outcome.ACCEPTED, intended
    for name, moment in (("sent", sent), ("answered", sent + 5 * MS)):
        rows[name] = np.where(of_witness, sender[1].stamp(moment), sender[0].stamp(moment))
    stored = sent + round((10 + write_ms) * MS)
    offered = _offered(rows)
    return Evidence(
        offered=offered.of_load(),
        scheduled=len(rows),
        deliveries=_deliveries(sent, stored, clocks["api"], clocks["worker"]),
        documents=Documents(np.ones(len(rows), dtype=np.int64), len(rows), 0, len(rows), 0, ()),
        leftovers=Leftovers(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64)),
        clock=_samples(clocks["harness"]),
        samples=tuple(Sample(second * S, 0, {role: Usage() for role in ROLES}, {}) for second in range(8)),
        backlog=Backlog(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)),
        witness=Witnessed(offered, _sightings(sent[of_witness], stored[of_witness], clocks["witness"])),
    )


def _offered(rows: NDArray[np.void]) -> Offered:
    base, count = np.full(4096, -1, dtype=np.int64), np.zeros(4096, dtype=np.int64)
    base[0], count[0] = 0, LOAD
    base[WITNESS_STREAM], count[WITNESS_STREAM] = LOAD, WITNESS
    streams = (0, WITNESS_STREAM)
    return Offered(RUN, 0, WALL_NS, rows, streams, base, count, np.arange(len(rows), dtype=np.int32), complete=True)


def _deliveries(sent: NDArray[np.int64], stored: NDArray[np.int64], api: Clock, worker: Clock) -> Deliveries:
    rows = np.zeros(len(sent), dtype=DELIVERY)
    rows["id_low"][:LOAD] = id_low_array(RUN, 0, 0, LOAD)
    rows["id_low"][LOAD:] = id_low_array(RUN, WITNESS_STREAM, 0, WITNESS)
    rows["record_timestamp_ms"] = (WALL_NS + api.stamp(sent + 2 * MS)) // MS
    rows["fetched_ns"], rows["acknowledged_ns"] = worker.stamp(sent + 10 * MS), worker.stamp(stored)
    return Deliveries(rows, (consumer("worker-1", {"events_page_view": (0,)}, len(rows)),))


def _sightings(sent: NDArray[np.int64], stored: NDArray[np.int64], witness: Clock) -> NDArray[np.void]:
    """Polls from the answer on, each 10 ms; an event can be read 1 ms before its acknowledgement."""
    answered = sent + 5 * MS
    polls = -((answered - (stored - MS)) // POLL_NS)  # of the poll that finds it
    rows = np.zeros(len(sent), dtype=SIGHTING)
    rows["sequence"] = np.arange(len(sent))
    missed = witness.stamp(answered + (polls - 1) * POLL_NS)
    rows["missed_ns"] = np.where(polls > 0, missed, NO_TIME)
    rows["seen_ns"] = witness.stamp(answered + polls * POLL_NS + MS)
    return rows


def _samples(harness: Clock) -> ClockSamples:
    """The wall clock as the harness reads it, each second."""
    at = np.arange(8, dtype=np.int64) * S
    return ClockSamples(at, WALL_NS + harness.stamp(at) - at)

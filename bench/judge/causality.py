"""Clocks, judged by causality: nothing happens before what it follows from, whichever process stamped it.

Each stamp of an event was made by another role: the generator says when it was sent and answered, the API (by Kafka's
record timestamp) when it was received, a worker when it was fetched and acknowledged, the witness when it could be
read. In the order of what happened none may come before the one that it follows from. If one does, a clock is wrong,
and which orders are broken shows whose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.cells.bounds import Bounds
from bench.evidence.evidence import Evidence
from bench.evidence.offered import Offered
from bench.judge import detectors
from bench.judge.detectors import Detector, Detectors
from traffic.identity import WITNESS_STREAM
from traffic.ledger import NO_TIME

_MS = 1_000_000
NONE = int(np.iinfo(np.int64).min)  # no stamp: a wrong clock may stamp any other number
NEVER = int(np.iinfo(np.int64).max) // 2

DRIFTED = "the machine's clock was set, or the harness's is wrong"

Stamps = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Order:
    """``later`` cannot come before ``earlier``; what is said of an event of which it does."""

    name: str
    earlier: str
    later: str
    said: str
    is_coarse: bool = False  # the record timestamp takes part, which has whole milliseconds
    is_witnessed: bool = False  # a sighting takes part

    @property
    def detector(self) -> Detector:
        """What it is looked for by."""
        return Detector.WITNESS if self.is_witnessed else Detector.ORDER


ORDERS = (
    Order("schedule_delay", "intended", "sent", "were sent before they were due"),
    Order("service_time", "sent", "answered", "were answered before they were sent"),
    Order("response_time", "intended", "answered", "were answered before they were due"),
    Order("http_and_api", "sent", "received", "have a record timestamp before they were sent", is_coarse=True),
    Order("record_to_answer", "received", "answered", "have a record timestamp after their answer", is_coarse=True),
    Order("kafka_and_backlog", "received", "fetched", "were fetched before their record timestamp", is_coarse=True),
    Order("write", "fetched", "acknowledged", "were acknowledged before they were fetched"),
    Order("delivery_latency", "intended", "acknowledged", "were acknowledged before they were due"),
    Order(
        "fetched_to_seen",
        "fetched",
        "seen",
        "were read by the witness before the worker's log says that they were fetched",
        is_witnessed=True,
    ),
    Order(
        "missed_to_acknowledged",
        "missed",
        "acknowledged",
        "were not found by a poll of the witness that began after the worker's log says that they were acknowledged",
        is_witnessed=True,
    ),
)


@dataclass(frozen=True)
class Breach:
    """Events of the load, and of the witness, whose stamps break ``order``; ``worst_ns``: by how much at most."""

    order: Order
    events: int
    witness_events: int
    worst_ns: int


@dataclass(frozen=True)
class Clocks:
    """What came of the check.

    ``breaches``: orders broken beyond their tolerance. ``lowest_ns``: of each order, the least that lay between the
    two stamps of an event; below zero where it was broken.
    """

    breaches: tuple[Breach, ...]
    lowest_ns: Mapping[str, int]

    @property
    def counts(self) -> dict[str, int]:
        """How many events, the witness's too, break each order that is broken."""
        return {each.order.name: each.events + each.witness_events for each in self.breaches}


def stamps(evidence: Evidence, *, worker_crashed: bool = False) -> Stamps:
    """Return the stamps of all events, the witness's too, by name; each of shape (events,), ns from the epoch.

    ``NONE`` where there is none. ``received``, ``fetched`` and ``acknowledged`` are those of the first delivery;
    ``missed`` and ``seen`` are the witness's: an event that it looked for in vain was ``seen`` when all was over.
    ``worker_crashed``: it may have stored events and not have come to write it down. Their first delivery in the logs
    is another worker's, later; what the witness read before that is no stamp then. A clock that is ahead stays so:
    where the witness's last event shows it too, all of them count.
    """
    offered = evidence.audited
    at = {name: offered.per_event(name).astype(np.int64) for name in ("intended", "sent", "answered")}
    for name in ("sent", "answered"):
        at[name][at[name] == NO_TIME] = NONE
    for name in ("received", "fetched", "acknowledged", "missed", "seen"):
        at[name] = np.full(offered.events, NONE, dtype=np.int64)
    epoch_ns = offered.epoch_monotonic_ns
    first = evidence.audited_first_deliveries
    index = first["index"]
    at["received"][index] = evidence.clock.to_monotonic(first["record_timestamp_ms"] * _MS) - epoch_ns
    at["fetched"][index] = first["fetched_ns"] - epoch_ns
    at["acknowledged"][index] = first["acknowledged_ns"] - epoch_ns
    if evidence.witness:
        rows = evidence.witness.sightings
        place = offered.stream_base[WITNESS_STREAM] + rows["sequence"].astype(np.int64)
        at["missed"][place] = np.where(rows["missed_ns"] == NO_TIME, NONE, rows["missed_ns"])
        at["seen"][place] = np.where(rows["seen_ns"] == NO_TIME, NEVER, rows["seen_ns"])
    if worker_crashed:
        read_before = (at["seen"] != NONE) & (at["seen"] < at["fetched"])
        compared = np.flatnonzero((at["seen"] != NONE) & (at["fetched"] != NONE))
        if len(compared) and not read_before[compared[-1]]:
            at["missed"][read_before] = at["seen"][read_before] = NONE
    return at


def check(offered: Offered, at: Stamps, bounds: Bounds, looked_for: Detectors = detectors.ALL) -> Clocks:
    """Hold the stamps of every event against what must have come first.

    ``negative_duration_ms`` is allowed where Kafka's record timestamp takes part, ``witness_tolerance_ms`` where a
    sighting does, and nothing elsewhere.
    """
    of_witness = offered.per_event("stream") == WITNESS_STREAM
    breaches, lowest_ns = [], {}
    for order in ORDERS:
        known = (at[order.earlier] != NONE) & (at[order.later] != NONE)
        if not known.any():
            continue
        between = (at[order.later] - at[order.earlier])[known]
        lowest_ns[order.name] = int(between.min())
        broken = between < -_tolerance_ms(order, bounds) * _MS
        if broken.any() and order.detector in looked_for:
            witnessed = int((broken & of_witness[known]).sum())
            breaches.append(Breach(order, int(broken.sum()) - witnessed, witnessed, -lowest_ns[order.name]))
    return Clocks(tuple(breaches), lowest_ns)


def _tolerance_ms(order: Order, bounds: Bounds) -> float:
    if order.is_witnessed:
        return bounds.witness_tolerance_ms
    return bounds.negative_duration_ms if order.is_coarse else 0.0


def reasons(clocks: Clocks, *, drifted: bool) -> list[str]:
    """Say what is wrong, and whose clock it must be. ``drifted``: the harness saw the two clocks move apart."""
    found = []
    culprit = suspect(clocks.breaches, drifted=drifted)
    for each in clocks.breaches:
        events = [f"{each.events:,} events of the load"] if each.events else []
        events += [f"{each.witness_events:,} of the witness's events"] if each.witness_events else []
        worst = f"by up to {each.worst_ns / _MS:,.3f} ms"
        found.append(f"clocks: {' and '.join(events)} {each.order.said} ({each.order.name}), {worst}: {culprit}")
    return found


def suspect(breaches: Sequence[Breach], *, drifted: bool) -> str:
    """Name the role whose clock explains the breaches.

    Generator and witness stamp the same things of different events, so that what breaks the same order for both is
    the fault of neither.
    """
    load = {each.order.name for each in breaches if each.events}
    witness = {each.order.name for each in breaches if each.witness_events}
    if drifted:
        return DRIFTED
    return _of_senders(load, witness) or _of_worker(load | witness) or "a clock went back"


def _of_senders(load: set[str], witness: set[str]) -> str | None:
    """By what lies between a sender and the API."""
    for name, api, sender in (("http_and_api", "behind", "ahead"), ("record_to_answer", "ahead", "behind")):
        if name in load and name in witness:
            return f"the API's clock is {api}"
        if name in load:
            return f"the generator's clock is {sender}"
        if name in witness:
            return f"the witness's clock is {sender}"
    alone = {"schedule_delay", "service_time", "response_time"}
    if load & alone:
        return "the generator's clock went back"
    if witness & alone:
        return "the witness's clock went back"
    return None


def _of_worker(broken: set[str]) -> str | None:
    """By what lies between a worker and the others."""
    if "fetched_to_seen" in broken:
        return "the worker's clock, or its log, is ahead"
    if broken & {"kafka_and_backlog", "missed_to_acknowledged", "write", "delivery_latency"}:
        return "the worker's clock, or its log, is behind"
    return None

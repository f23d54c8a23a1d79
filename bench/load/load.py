"""What a repeat offers: the load that its generator, or its preload, makes."""

from __future__ import annotations

from msgspec import structs

from bench import kinds
from bench.judge.derive import RepeatIdentity
from traffic.spec import Arrivals, LoadSpec, Traffic


def spec_of(identity: RepeatIdentity, traffic: Traffic, seed: int, arrivals: Arrivals) -> LoadSpec:
    """Say what is offered: the matrix's traffic, but for what is an axis of the cell or particular to its kind."""
    cell, kind = identity.cell, kinds.named(identity.cell.kind)
    changes: dict[str, object] = {}
    if cell.payload_bytes is not None:
        changes["payload_bytes"] = cell.payload_bytes
    if cell.key_skew is not None:
        changes["key_skew"] = cell.key_skew
    if kind.through_http:
        changes["visitor_share"] = cell.visitor_share
    if cell.event_mix is not None:
        changes["event_mix"] = cell.event_mix
    elif kind.event_mix is not None:
        changes["event_mix"] = kind.event_mix
    return LoadSpec(
        scenario="mixed",
        offered_load_events_per_s=identity.offered_load_events_per_s or 1.0,
        arrivals=arrivals,
        profile="constant",
        duration_s=kind.load_s(cell),
        seed=seed,
        run=identity.run_number,
        traffic=structs.replace(traffic, **changes),
    )

"""What a repeat offers: the load that its generator, or its preload, makes."""

from __future__ import annotations

from msgspec import structs

from bench.judge.derive import Identity
from bench.matrix.cellspec import CellSpec
from bench.search import probe
from traffic.spec import Arrivals, LoadSpec, Traffic

EVEN_MIX = (("page_view", 1.0), ("signup", 1.0), ("add_to_cart", 1.0))


def spec_of(identity: Identity, traffic: Traffic, seed: int, arrivals: Arrivals) -> LoadSpec:
    """Say what is offered: of a drain all of it at once, evenly over the topics unless the mix is an axis."""
    cell = identity.cell
    changes: dict[str, object] = {}
    if cell.payload_bytes is not None:
        changes["payload_bytes"] = cell.payload_bytes
    if cell.key_skew is not None:
        changes["key_skew"] = cell.key_skew
    if cell.through_http:
        changes["visitor_share"] = cell.visitor_share
    if cell.event_mix is not None:
        changes["event_mix"] = cell.event_mix
    elif cell.kind == "drain":
        changes["event_mix"] = EVEN_MIX
    return LoadSpec(
        scenario="mixed",
        offered_load_events_per_s=identity.offered_load_events_per_s or 1.0,
        arrivals=arrivals,
        profile="constant",
        duration_s=longest_s(cell),
        seed=seed,
        run=identity.run_number,
        traffic=structs.replace(traffic, **changes),
    )


def longest_s(cell: CellSpec) -> float:
    """Give how long a load lasts, in seconds, if nothing stops it; 0 for a drain."""
    if not cell.through_http:
        return 0.0
    return probe.most_s(cell) if cell.kind == "capacity" else cell.warmup_s + cell.duration_s

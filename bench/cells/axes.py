"""What may be varied: the axes that kinds of cells share. A kind says which of them it has, and may add its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from bench.cells.objective import OfferedLoad, Rate
from pipeline.local.stackspec import MOST_SERVERS, Coordination
from pipeline.settings import Name

Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
Acks = Literal["all", "1", "0"]
Driver = Literal["motor", "pymongo"]


class Axis(NamedTuple):
    """What may be varied: ``type`` is what a value must be, ``allowed`` says so in words, ``short`` goes into ids."""

    short: str
    type: Any
    allowed: str


_OfServers = Annotated[int, Meta(ge=1, le=MOST_SERVERS)]

AXES: dict[str, Axis] = {
    "partitions": Axis("p", Annotated[int, Meta(ge=1, le=1_000)], "a whole number, 1 to 1000"),
    "consumers": Axis("c", Annotated[int, Meta(ge=1, le=64)], "a whole number, 1 to 64"),
    "api_processes": Axis("api", Annotated[int, Meta(ge=1, le=64)], "a whole number, 1 to 64"),
    "batch_max_events": Axis("batch", Annotated[int, Meta(ge=1, le=100_000)], "a whole number, 1 to 100000"),
    "linger_ms": Axis("linger", Annotated[int, Meta(ge=0, le=10_000)], "whole milliseconds, 0 to 10000"),
    "compression": Axis("", Compression, "'none', 'gzip', 'snappy', 'lz4' or 'zstd'"),
    "acks": Axis("acks", Acks, "'all', '1' or '0', in quotes"),
    "write_concern": Axis(
        "w",
        Annotated[str, Meta(pattern=r"^(majority|[1-9][0-9]?)\Z")],
        "'majority' or a number of nodes from '1' on, in quotes (with '0' nothing is ever acknowledged)",
    ),
    "driver": Axis("", Driver, "'motor' or 'pymongo'"),
    "key_skew": Axis("skew", Annotated[float, Meta(ge=0, le=1)], "a share, 0 to 1"),
    "payload_bytes": Axis("size", Annotated[int, Meta(ge=0, le=60_000)], "whole bytes, 0 to 60000"),
    "visitor_share": Axis("single", Annotated[float, Meta(ge=0, le=1)], "a share, 0 to 1"),
    "event_mix": Axis(
        "mix", dict[Name, Annotated[float, Meta(ge=0)]], "event types and weights, { page_view = 3, ... }"
    ),
    "offered_load": Axis(
        "at",
        Rate | OfferedLoad,
        "events/s above 0, or { share_of_drain = 0.5, at_least = 1000 } with a share above 0 and up to 2",
    ),
    "dashboards": Axis("dash", Annotated[int, Meta(ge=0, le=8)], "a whole number, 0 to 8"),
    "generator_processes": Axis("gen", Annotated[int, Meta(ge=1, le=64)], "a whole number, 1 to 64"),
    "brokers": Axis("b", _OfServers, f"a whole number, 1 to {MOST_SERVERS}"),
    "replication": Axis("rf", _OfServers, f"a whole number of copies, 1 to {MOST_SERVERS}"),
    "coordination": Axis("", Coordination, "'kraft' or 'zookeeper'"),
    "mongo_members": Axis("m", _OfServers, f"a whole number, 1 to {MOST_SERVERS}"),
}

STACK_AXES = ("brokers", "replication", "coordination", "mongo_members")
"""Axes of the servers themselves: only those that the bench starts can be so."""
OFFERED_LOAD = "offered_load"
THROUGH_HTTP = frozenset({"api_processes", "linger_ms", "compression", "acks", "visitor_share", "generator_processes"})
"""Axes that mean something only where events come through the API."""
EVERYWHERE = frozenset(AXES) - THROUGH_HTTP - {OFFERED_LOAD}

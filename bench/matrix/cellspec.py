"""One cell of a matrix: every axis with its value, and what the axes are."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from pipeline.local.stackspec import MOST_SERVERS, Coordination, Given, StackSpec, as_text
from pipeline.settings import Api, Name, Worker
from traffic.spec import Traffic

Kind = Literal["drain", "steady", "capacity"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
Acks = Literal["all", "1", "0"]
Driver = Literal["motor", "pymongo"]
EventMix = tuple[tuple[str, float], ...]
_Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=10_000_000)]

# What quick offers: half of what was drained in the same run, and at least 1,000 events/s (method.md, rule 12).
DEFAULT_SHARE_OF_DRAIN = 0.5
DEFAULT_AT_LEAST_EVENTS_PER_S = 1_000.0

# What a drain preloads at first: on two cores its window then lasts 5 s or more.
DEFAULT_DRAIN_EVENTS = 300_000

# What a search asks for where neither matrix nor cell does.
DEFAULT_OBJECTIVE_MS = 1_000.0

# Characters of an id that an event mix or a setting of a server may take; a longer one becomes a checksum.
_LONGEST_MIX = 40
_LONGEST_SETTING = 60


class OfferedLoad(Struct, frozen=True, forbid_unknown_fields=True):
    """An offered load that is known only in the run: a share of what its slowest drain reached in round 1.

    ``at_least`` in events/s: what is offered where the share comes to less.
    """

    share_of_drain: Annotated[float, Meta(gt=0, le=2)] = DEFAULT_SHARE_OF_DRAIN
    at_least: Rate = DEFAULT_AT_LEAST_EVENTS_PER_S


class Objective(Struct, frozen=True, forbid_unknown_fields=True):
    """What the system has to reach; missing it is a finding (in a probe: an answer). None: nothing is asked.

    ``rejected_share``: of the offered events, the largest share that may be rejected.
    """

    response_time_p99_ms: Annotated[float, Meta(gt=0)] | None = None
    delivery_latency_p99_ms: Annotated[float, Meta(gt=0)] | None = None
    rejected_share: _Share | None = None

    def words(self) -> str:
        """Say what is asked, such as ``p99 delivery latency <= 1000 ms``."""
        asked = []
        if self.delivery_latency_p99_ms is not None:
            asked.append(f"p99 delivery latency <= {self.delivery_latency_p99_ms:g} ms")
        if self.response_time_p99_ms is not None:
            asked.append(f"p99 response time <= {self.response_time_p99_ms:g} ms")
        asked.append(f"at most {self.rejected_share or 0.0:.1%} rejected")
        return ", ".join(asked)


class CellSpec(Struct, frozen=True):
    """One combination of the axes, with every axis filled; those that its kind does not know keep the default.

    ``event_mix`` None: the traffic's own mix (in a drain: all topics alike). ``events``: preloaded, in a drain.
    ``warmup_s`` and ``duration_s``: of a steady cell, or of each probe of a capacity cell. ``start_load``: what a
    search for capacity offers first; ``max_probes``: how many probes it may take; ``resolution`` and
    ``confirmations``: how closely it looks, and how many further probes have to sustain its answer
    (:class:`bench.search.search.SearchSettings`);
    ``objective``: what a probe has to meet, where it is not the matrix's.
    ``brokers`` to ``mongod``: the servers that are started for it, and how they are set; None: they are the user's own.
    """

    id: str
    kind: Kind
    partitions: int = 3
    consumers: int = 1
    api_processes: int = 1
    batch_max_events: int = Worker().batch_max_events
    linger_ms: int = Api().linger_ms
    compression: Compression = Api().compression
    acks: Acks = Api().acks
    write_concern: str = "majority"
    driver: Driver = "motor"
    key_skew: float = Traffic().key_skew
    payload_bytes: int = Traffic().payload_bytes
    visitor_share: float = Traffic().visitor_share
    event_mix: EventMix | None = None
    offered_load: float | OfferedLoad | None = None
    generator_processes: int = 1
    dashboards: int = 0
    events: int = DEFAULT_DRAIN_EVENTS
    warmup_s: float = 3.0
    duration_s: float = 8.0
    start_load: float | OfferedLoad | None = None
    max_probes: int = 14
    resolution: float = 0.07
    confirmations: int = 2
    objective: Objective | None = None
    brokers: int | None = 1
    replication: int | None = 1
    coordination: Coordination | None = "kraft"
    mongo_members: int | None = 1
    kafka: Given = ()
    mongod: Given = ()

    @property
    def stack(self) -> StackSpec | None:
        """The servers that it runs on; None where they are the user's own."""
        if self.brokers is None or self.coordination is None or self.mongo_members is None:
            return None
        return StackSpec(self.brokers, self.coordination, self.mongo_members, self.kafka, self.mongod)

    @property
    def server_settings(self) -> dict[str, Any]:
        """What ``[servers]`` sets, by names that begin with the server's: ``kafka.num.io.threads``."""
        kafka = {f"kafka.{name}": value for name, value in self.kafka}
        return kafka | {f"mongod.{name}": value for name, value in self.mongod}

    @property
    def through_http(self) -> bool:
        """Whether the events come through the API: of every kind but a drain."""
        return self.kind != "drain"

    def axes(self) -> dict[str, Any]:
        """Give every axis and its value as plain JSON values; None for one that means nothing to this kind or here."""
        plain = {name: _plain(getattr(self, name)) if self.kind in axis.kinds else None for name, axis in AXES.items()}
        return plain | self.server_settings


class Axis(NamedTuple):
    """What may be varied: ``type`` is what a value must be, ``allowed`` says so in words, ``short`` goes into ids."""

    short: str
    kinds: tuple[str, ...]
    type: Any
    allowed: str


_ALL = ("drain", "steady", "capacity")
_OfServers = Annotated[int, Meta(ge=1, le=MOST_SERVERS)]
_THROUGH_HTTP = ("steady", "capacity")

AXES: dict[str, Axis] = {
    "partitions": Axis("p", _ALL, Annotated[int, Meta(ge=1, le=1_000)], "a whole number, 1 to 1000"),
    "consumers": Axis("c", _ALL, Annotated[int, Meta(ge=1, le=64)], "a whole number, 1 to 64"),
    "api_processes": Axis("api", _THROUGH_HTTP, Annotated[int, Meta(ge=1, le=64)], "a whole number, 1 to 64"),
    "batch_max_events": Axis("batch", _ALL, Annotated[int, Meta(ge=1, le=100_000)], "a whole number, 1 to 100000"),
    "linger_ms": Axis("linger", _THROUGH_HTTP, Annotated[int, Meta(ge=0, le=10_000)], "whole milliseconds, 0 to 10000"),
    "compression": Axis("", _THROUGH_HTTP, Compression, "'none', 'gzip', 'snappy', 'lz4' or 'zstd'"),
    "acks": Axis("acks", _THROUGH_HTTP, Acks, "'all', '1' or '0', in quotes"),
    "write_concern": Axis(
        "w",
        _ALL,
        Annotated[str, Meta(pattern=r"^(majority|[1-9][0-9]?)\Z")],
        "'majority' or a number of nodes from '1' on, in quotes (with '0' nothing is ever acknowledged)",
    ),
    "driver": Axis("", _ALL, Driver, "'motor' or 'pymongo'"),
    "key_skew": Axis("skew", _ALL, Annotated[float, Meta(ge=0, le=1)], "a share, 0 to 1"),
    "payload_bytes": Axis("size", _ALL, Annotated[int, Meta(ge=0, le=60_000)], "whole bytes, 0 to 60000"),
    "visitor_share": Axis("single", _THROUGH_HTTP, Annotated[float, Meta(ge=0, le=1)], "a share, 0 to 1"),
    "event_mix": Axis(
        "mix", _ALL, dict[Name, Annotated[float, Meta(ge=0)]], "event types and weights, { page_view = 3, ... }"
    ),
    "offered_load": Axis(
        "at",
        ("steady",),
        Rate | OfferedLoad,
        "events/s above 0, or { share_of_drain = 0.5, at_least = 1000 } with a share above 0 and up to 2",
    ),
    "dashboards": Axis("dash", _ALL, Annotated[int, Meta(ge=0, le=8)], "a whole number, 0 to 8"),
    "generator_processes": Axis("gen", _THROUGH_HTTP, Annotated[int, Meta(ge=1, le=64)], "a whole number, 1 to 64"),
    "brokers": Axis("b", _ALL, _OfServers, f"a whole number, 1 to {MOST_SERVERS}"),
    "replication": Axis("rf", _ALL, _OfServers, f"a whole number of copies, 1 to {MOST_SERVERS}"),
    "coordination": Axis("", _ALL, Coordination, "'kraft' or 'zookeeper'"),
    "mongo_members": Axis("m", _ALL, _OfServers, f"a whole number, 1 to {MOST_SERVERS}"),
}

STACK_AXES = ("brokers", "replication", "coordination", "mongo_members")
"""Axes of the servers themselves: only those that the bench starts can be so."""


def cell_id(cell: CellSpec) -> str:
    """Name ``cell``: kind, partitions, consumers, and each other axis whose value is not the default.

    It depends on the cell alone, so that the same cell has the same name in every matrix.
    """
    default = CellSpec(id="", kind=cell.kind, offered_load=OfferedLoad() if cell.kind == "steady" else None)
    parts = [cell.kind, f"p{cell.partitions}", f"c{cell.consumers}"]
    for name, axis in AXES.items():
        value = getattr(cell, name)
        if value is None and name in STACK_AXES:
            continue  # the user's own servers
        if name not in ("partitions", "consumers") and cell.kind in axis.kinds and value != getattr(default, name):
            parts.append(axis.short + _in_words(value))
    parts += [_short(f"{name}{as_text(value)}") for name, value in cell.server_settings.items()]
    return "-".join(parts)


def _in_words(value: Any) -> str:
    """A value as a part of a file name."""
    if isinstance(value, OfferedLoad):
        least = "" if value.at_least == DEFAULT_AT_LEAST_EVENTS_PER_S else f"min{value.at_least:.10g}"
        return f"{100 * value.share_of_drain:.10g}pct{least}"
    if isinstance(value, tuple):
        mix = ".".join(f"{event_type}{weight:.10g}" for event_type, weight in value)
        return _short(mix, _LONGEST_MIX)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _short(text: str, most: int = _LONGEST_SETTING) -> str:
    """Give ``text``, or a checksum of it where it is too long or cannot be a part of a file name."""
    fits = len(text) <= most and re.fullmatch(r"[A-Za-z0-9._+-]+", text)
    return text if fits else hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, tuple) else msgspec.to_builtins(value)

"""One cell of a matrix, with every axis filled."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bench.cells.axes import Acks, Compression, Driver
from bench.cells.objective import Objective, OfferedLoad
from pipeline.local.stackspec import Coordination, Given, StackSpec
from pipeline.settings import Api, Worker
from traffic.spec import Traffic

EventMix = tuple[tuple[str, float], ...]


class CellSpec(Struct, frozen=True):
    """One combination of the axes, with every axis filled; those that its kind does not have keep the default.

    What only one kind of cell has is in that kind's own subclass (:mod:`bench.kinds`).

    ``event_mix`` None: the traffic's own mix, or that of the kind.
    ``warmup_s`` and ``duration_s``: of a load that lasts. ``objective``: what it has to meet, where that is not the
    matrix's.
    ``brokers`` to ``mongod``: the servers that are started for it, and how they are set; None: they are the user's own.
    """

    id: str
    kind: str
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
    warmup_s: float = 3.0
    duration_s: float = 8.0
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

"""Where the servers of a stack listen."""

from __future__ import annotations

from msgspec import Struct

from pipeline.local.ports import Claims
from pipeline.local.stackspec import StackSpec


class FirstPorts(Struct, frozen=True):
    """Where the first broker, the first mongod and ZooKeeper listen, the others behind them; 0: on free ports."""

    kafka: int = 0
    mongo: int = 0
    zookeeper: int = 0


class StackPorts(Struct, frozen=True):
    """Where clients find each server, and which ports are taken so; ``zookeeper`` 0 where there is none."""

    claims: Claims
    brokers: tuple[int, ...]
    members: tuple[int, ...]
    zookeeper: int


def claim(spec: StackSpec, first: FirstPorts) -> StackPorts:
    """Return every server of ``spec`` a port.

    Raises:
        UsageError: one that was asked for is taken; names it, and the option that changes it.
    """
    claims = Claims()
    zookeeper = 0
    if spec.zookeeper:
        zookeeper = claims.claim(first.zookeeper, "ZooKeeper", "choose another with --zookeeper-port")
    return StackPorts(
        claims,
        brokers=claims.several(first.kafka, spec.brokers, "Kafka", "choose another with --kafka-port"),
        members=claims.several(first.mongo, spec.mongo_members, "MongoDB", "choose another with --mongo-port"),
        zookeeper=zookeeper,
    )

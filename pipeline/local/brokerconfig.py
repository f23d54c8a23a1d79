"""A broker's settings: its place in the cluster, where it listens, how many copies there are."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from pipeline.local.ports import HOST
from pipeline.local.stackspec import StackSpec, as_text, least_in_sync

# Long enough for all workers of a cell to join in one rebalance, short enough for a person.
GROUP_INITIAL_REBALANCE_DELAY_MS = 500
OFFSETS_PARTITIONS = 4
LOG = "log"


class Node(Struct, frozen=True):
    """One broker: its number from 1, where it listens and, where it is a controller too, where it does so as that."""

    id: int
    port: int
    controller_port: int
    data_dir: Path

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"{HOST}:{self.port}"


class Cluster(Struct, frozen=True):
    """What the brokers have in common. ``zookeeper_port``: 0 where there is no ZooKeeper."""

    spec: StackSpec
    id: str
    nodes: tuple[Node, ...]
    zookeeper_port: int = 0
    rebalance_delay_ms: int = GROUP_INITIAL_REBALANCE_DELAY_MS

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find all of them."""
        return ",".join(node.address for node in self.nodes)


def properties(cluster: Cluster, node: Node) -> dict[str, str]:
    """Return the broker's configuration; what the stack's own description sets comes last."""
    spec = cluster.spec
    copies, least = str(spec.replication), str(least_in_sync(spec.replication))
    found = {
        **(_with_zookeeper(cluster, node) if spec.zookeeper else _kraft(cluster, node)),
        # In the folder that the broker starts in: a path with a comma would be two folders.
        "log.dirs": LOG,
        # A misspelt topic shall be an error, not a new topic.
        "auto.create.topics.enable": "false",
        # What Kafka keeps for itself has as many copies as events have; few partitions make it start fast.
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": str(OFFSETS_PARTITIONS),
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": least,
        "transaction.state.log.num.partitions": "4",
        **({} if spec.zookeeper else _share_groups(copies, least)),
        "group.initial.rebalance.delay.ms": str(cluster.rebalance_delay_ms),
    }
    if spec.brokers > 1:
        found |= {"default.replication.factor": copies, "min.insync.replicas": least}
        # All end together, and then there is nobody left to hand over to.
        found["controlled.shutdown.enable"] = "false"
    return found | {name: as_text(value) for name, value in spec.kafka}


def _kraft(cluster: Cluster, node: Node) -> dict[str, str]:
    voters = ",".join(f"{each.id}@{HOST}:{each.controller_port}" for each in cluster.nodes)
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "controller.listener.names": "CONTROLLER",
        # A broker that was killed may register again only when its last session has run out.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
    }


def _with_zookeeper(cluster: Cluster, node: Node) -> dict[str, str]:
    return {
        "broker.id": str(node.id),
        "zookeeper.connect": f"{HOST}:{cluster.zookeeper_port}",
        "listeners": f"PLAINTEXT://{node.address}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        # As KRaft's session, above.
        "zookeeper.session.timeout.ms": "4000",
    }


def _share_groups(copies: str, least: str) -> dict[str, str]:
    return {
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": least,
    }

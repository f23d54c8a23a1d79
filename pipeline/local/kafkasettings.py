"""Which settings a broker has, and which of them are ours: of a name that it does not know a broker says nothing."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator
from pathlib import Path

VERSION = "4.3.1"
VERSION_WITH_ZOOKEEPER = "3.9.2"

_PER_LISTENER = "listener.name."
_LARGEST_TEXT = 1_000
_ADDRESS = "where a broker listens follows from ports that are free"
_COPIES = (
    "how many copies there are follows from the number of brokers; of the events' topics it is the axis replication"
)
_ROLES = "what coordinates the brokers is the axis coordination, and how many there are the axis brokers"
_DATA = "each broker has a data folder of its own, which is removed with it"
OWN: dict[str, str] = {
    "process.roles": _ROLES,
    "node.id": _ROLES,
    "broker.id": _ROLES,
    "broker.id.generation.enable": _ROLES,
    "reserved.broker.max.id": _ROLES,
    "controller.quorum.voters": _ROLES,
    "controller.quorum.bootstrap.servers": _ROLES,
    "controller.quorum.auto.join.enable": _ROLES,
    "zookeeper.connect": _ROLES,
    "zookeeper.metadata.migration.enable": _ROLES,
    "listeners": _ADDRESS,
    "advertised.listeners": _ADDRESS,
    "listener.security.protocol.map": _ADDRESS,
    "inter.broker.listener.name": _ADDRESS,
    "security.inter.broker.protocol": _ADDRESS,
    "control.plane.listener.name": _ADDRESS,
    "controller.listener.names": _ADDRESS,
    "early.start.listeners": _ADDRESS,
    "log.dir": _DATA,
    "log.dirs": _DATA,
    "metadata.log.dir": _DATA,
    "auto.create.topics.enable": "a misspelt topic has to be an error, not a new topic",
    "default.replication.factor": _COPIES,
    "offsets.topic.replication.factor": _COPIES,
    "transaction.state.log.replication.factor": _COPIES,
    "transaction.state.log.min.isr": _COPIES,
    "share.coordinator.state.topic.replication.factor": _COPIES,
    "share.coordinator.state.topic.min.isr": _COPIES,
}
"""Settings that follow from the stack, each with the reason why nobody else sets them."""


@functools.cache
def known(version: str) -> frozenset[str]:
    """Return the name of every setting of a broker of ``version``: the list was made by that broker's own code."""
    text = Path(__file__).with_name(f"kafka-{version}.settings").read_text(encoding="ascii")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def problems(name: str, value: object, version: str) -> Iterator[str]:
    """Say why ``name`` cannot be set to ``value`` for a broker of ``version``, with what to do."""
    if name in OWN:
        yield f"kafka.{name!r} is not yours to set: {OWN[name]}; leave it out"
    elif name.startswith(_PER_LISTENER):
        yield f"kafka.{name!r} is not yours to set: {_ADDRESS}; leave it out"
    elif name not in known(version):
        near = difflib.get_close_matches(name, sorted(known(version)), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "its documentation lists them under 'broker configs'"
        yield f"Kafka {version} has no setting {name!r}, and a broker ignores what it does not know; {hint}"
    if len(str(value)) > _LARGEST_TEXT:
        yield f"the value of kafka.{name!r} is longer than {_LARGEST_TEXT} characters: write a shorter value"

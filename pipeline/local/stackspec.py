"""What the local stack is made of: how many brokers and members, what coordinates them, and how they are set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from pipeline.local import kafkasettings
from pipeline.settings import Local

Coordination = Literal["kraft", "zookeeper"]
Value = bool | int | float | str
"""A setting of a server, as TOML has it."""
Given = tuple[tuple[str, Value], ...]
"""Settings of a server by name, sorted."""

MOST_SERVERS = 7
_MOST_COPIES = 3
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_LARGEST_TEXT = 1_000


class StackSpec(Struct, frozen=True):
    """The servers of one machine. The default is the smallest: one broker, its own controller, and one mongod.

    ``kafka``: settings of every broker beside ours. ``mongod``: parameters (``setParameter``) of every mongod.
    """

    brokers: Annotated[int, Meta(ge=1, le=MOST_SERVERS)] = 1
    coordination: Coordination = "kraft"
    mongo_members: Annotated[int, Meta(ge=1, le=MOST_SERVERS)] = 1
    kafka: Given = ()
    mongod: Given = ()

    @property
    def replication(self) -> int:
        """How many copies of a partition there are, unless something else is asked for."""
        return min(self.brokers, _MOST_COPIES)

    @property
    def zookeeper(self) -> bool:
        """Whether ZooKeeper coordinates the brokers, and not they themselves."""
        return self.coordination == "zookeeper"

    @property
    def kafka_version(self) -> str:
        """The version of Kafka: 3.9 is the last line that has ZooKeeper."""
        return kafkasettings.VERSION_WITH_ZOOKEEPER if self.zookeeper else kafkasettings.VERSION

    def words(self) -> str:
        """Say what it is made of: ``3 brokers (KRaft), 1 mongod``."""
        brokers = "1 broker" if self.brokers == 1 else f"{self.brokers} brokers"
        members = "1 mongod" if self.mongo_members == 1 else f"{self.mongo_members} mongods"
        given = [f"{name}={as_text(value)}" for name, value in (*self.kafka, *self.mongod)]
        parts = f"{brokers} ({'ZooKeeper' if self.zookeeper else 'KRaft'}), {members}"
        return parts + (f", {', '.join(given)}" if given else "")


def from_settings(local: Local) -> StackSpec:
    """Return the stack that the settings ask for."""
    return StackSpec(local.brokers, local.coordination, local.mongo_members)


def given(values: Mapping[str, Value]) -> Given:
    """Return settings in the form in which two of the same are equal."""
    return tuple(sorted(values.items()))


def as_text(value: Value) -> str:
    """Write a value as a server reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def least_in_sync(replication: int) -> int:
    """Return min.insync.replicas for so many copies: one broker of several may be away, and writes go on."""
    return max(1, replication - 1)


def copies_of(spec: StackSpec) -> dict[str, int]:
    """Return the settings of the pipeline by which its topics have the copies that ``spec`` is made for.

    Of a single broker none: its topics are as the settings say.
    """
    if spec.brokers == 1:
        return {}
    return {"replication_factor": spec.replication, "min_insync_replicas": least_in_sync(spec.replication)}


def problems(spec: StackSpec) -> Iterator[str]:
    """Say what cannot be about ``spec``, each with what to do."""
    for what, count in (("brokers", spec.brokers), ("mongo_members", spec.mongo_members)):
        yield from count_problems(what, count, coordination=spec.coordination)
    yield from setting_problems(spec)


def setting_problems(spec: StackSpec) -> Iterator[str]:
    """Say what is wrong with the settings of Kafka and mongod, as far as names show it."""
    for name, value in spec.kafka:
        yield from kafkasettings.problems(name, value, spec.kafka_version)
    for name, value in spec.mongod:
        yield from _parameter_problems(name, value)


def count_problems(what: str, count: int, *, coordination: str = "kraft") -> Iterator[str]:
    """Say what is wrong with a number of brokers or members."""
    if count % 2:
        return
    if what == "mongo_members":
        why = f"{count} members survive no more failures than {count - 1}, and two halves of them can elect nobody"
        yield f"{what} = {count} is an even number, and {why}: write an odd number, such as {count + 1}"
    elif coordination == "kraft":
        why = f"the brokers are the controllers too, and {count} survive no more failures than {count - 1}"
        remedy = f"write an odd number, such as {count + 1}, or coordination = 'zookeeper'"
        yield f"{what} = {count} is an even number: {why}: {remedy}"


def copies_problem(replication: int, brokers: int) -> str:
    """Say what is wrong with so many copies on so many brokers; nothing if it can be."""
    if replication <= brokers:
        return ""
    there = "there is only 1" if brokers == 1 else f"there are only {brokers}"
    return (
        f"replication = {replication} needs {replication} brokers, and {there}: write brokers = {replication}, "
        f"or replication = {brokers} or less"
    )


def in_sync_problem(least: int, replication: int) -> str:
    """Say what is wrong with min.insync.replicas for topics of so many copies; nothing if it can be."""
    if least <= replication:
        return ""
    return (
        f"min.insync.replicas = {least} is more than the {replication} copies that a partition has "
        f"(replication = {replication}): no event could be accepted; write {replication} or less, or more copies"
    )


def _parameter_problems(name: str, value: Value) -> Iterator[str]:
    if not _PARAMETER.match(name):
        yield (
            f"mongod.{name!r} is no parameter of mongod: options of its command line or configuration file cannot be "
            "varied here; write the name of a server parameter, such as storageEngineConcurrentWriteTransactions"
        )
    if len(as_text(value)) > _LARGEST_TEXT:
        yield f"mongod.{name!r} is longer than {_LARGEST_TEXT} characters: write a shorter value"

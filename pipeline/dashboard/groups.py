"""Who is in a consumer group and reads what, as Kafka's coordinator of the group knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.protocol.admin import DescribeGroupsRequest_v2
from aiokafka.protocol.api import Request
from aiokafka.structs import TopicPartition
from msgspec import Struct

from pipeline.dashboard.view import Member


class Described(Struct, frozen=True):
    """A group. ``state``: Kafka's word, such as Stable, Empty or Dead; ``owners``: which member reads a partition."""

    state: str
    members: list[Member]
    owners: dict[TopicPartition, str]


class _DescribeGroups(Request[DescribeGroupsRequest_v2]):  # type: ignore[misc]  # aiokafka ships no types
    """In version 2: aiokafka reads the answer to its version 3, which a new broker would get, as one of version 2."""

    API_KEY = 15

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = list(groups)

    def build(self, request_struct_class: type[DescribeGroupsRequest_v2]) -> DescribeGroupsRequest_v2:
        return request_struct_class(self._groups)


async def describe(admin: AIOKafkaAdminClient, group: str) -> Described:
    """Ask the group's coordinator.

    Raises:
        KafkaError: it did not answer.
    """
    coordinator = await admin.find_coordinator(group)
    reply = await admin._send_request(_DescribeGroups([group]), coordinator)  # noqa: SLF001  see the class
    _, _, state, _, _, found, *_ = reply.groups[0]
    members: list[Member] = []
    owners: dict[TopicPartition, str] = {}
    for member_id, client_id, host, _, assignment in found:
        assigned = _partitions(assignment)
        name = _short(member_id, client_id)
        members.append(Member(name, host.lstrip("/"), len(assigned)))
        owners.update(dict.fromkeys(assigned, name))
    return Described(state, sorted(members, key=lambda each: each.id), owners)


def _partitions(assignment: Any) -> list[TopicPartition]:
    if not assignment:
        return []
    try:
        return [
            TopicPartition(topic, number)
            for topic, numbers in ConsumerProtocol.ASSIGNMENT.decode(assignment).assignment
            for number in numbers
        ]
    except (ValueError, IndexError):  # another client's, in another form
        return []


def _short(member_id: str, client_id: str) -> str:
    """Give the client's name, and as much of the member's id as tells members apart."""
    return f"{client_id} {member_id.removeprefix(client_id).strip('-')[:8]}".strip()

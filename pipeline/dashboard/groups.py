"""A consumer group as Kafka's coordinator of it knows it: who is in it, who reads what, and how far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v2
from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import TopicPartition
from msgspec import Struct

from pipeline.dashboard.view import GroupMember


class Described(Struct, frozen=True):
    """A group. ``state``: Kafka's word, such as Stable, Empty or Dead; ``owners``: which member reads a partition.

    ``committed``: the offsets up to which it has read; partitions without a commit are left out.
    """

    state: str
    members: list[GroupMember]
    owners: dict[TopicPartition, str]
    committed: dict[TopicPartition, int]


class _DescribeGroups(Request[DescribeGroupsRequest_v2]):  # type: ignore[misc]  # aiokafka ships no types
    """In version 2: aiokafka reads the answer to its version 3, which a new broker would get, as one of version 2."""

    API_KEY = 15

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = list(groups)

    def build(self, request_struct_class: type[DescribeGroupsRequest_v2]) -> DescribeGroupsRequest_v2:
        return request_struct_class(self._groups)


async def describe(admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]) -> Described:
    """Ask the group's coordinator; ``partitions``: of which commits are asked for.

    Raises:
        KafkaError: it did not answer, or is not ready: an answer without members would look like a group without them.
    """
    coordinator = await admin.find_coordinator(group)
    reply = await admin._send_request(_DescribeGroups([group]), coordinator)  # noqa: SLF001  see the class
    error_code, _, state, _, _, found, *_ = reply.groups[0]
    _check(error_code, group)
    committed = await _committed(admin, coordinator, group, partitions)
    members: list[GroupMember] = []
    owners: dict[TopicPartition, str] = {}
    for member_id, client_id, host, _, assignment in found:
        assigned = _partitions(assignment)
        name = _short(member_id, client_id)
        members.append(GroupMember(name, host.lstrip("/"), len(assigned)))
        owners.update(dict.fromkeys(assigned, name))
    return Described(state, sorted(members, key=lambda each: each.id), owners, committed)


async def _committed(
    admin: AIOKafkaAdminClient, coordinator: int, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """Return the group's commits. aiokafka's own takes an answer that is an error for one without commits."""
    by_topic: dict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        by_topic[topic].append(number)
    asked = OffsetFetchRequest(group, list(by_topic.items()))
    reply = await admin._send_request(asked, coordinator)  # noqa: SLF001  see above
    _check(getattr(reply, "error_code", 0), group)
    found: dict[TopicPartition, int] = {}
    for topic, answers in reply.topics:
        for number, offset, _, error_code in answers:
            _check(error_code, group)
            if offset >= 0:
                found[TopicPartition(topic, number)] = offset
    return found


def _check(error_code: int, group: str) -> None:
    if error_code:
        raise for_code(error_code)(f"Kafka has no answer about the group {group} now")


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
    """Return the client's name, and as much of the member's id as is different for each member."""
    return f"{client_id} {member_id.removeprefix(client_id).strip('-')[:8]}".strip()

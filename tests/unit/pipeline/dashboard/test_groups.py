"""What Kafka's coordinator answers about a group, refusals among it: they may not look like an empty group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.errors import CoordinatorLoadInProgressError, KafkaError, NotCoordinatorForGroupError
from aiokafka.structs import TopicPartition
from msgspec import Struct

from pipeline.dashboard.groups import describe

ONE, OTHER = TopicPartition("events_page_view", 0), TopicPartition("events_page_view", 1)


class Groups(Struct):
    groups: list[tuple[Any, ...]]


class Offsets(Struct):
    topics: list[tuple[str, list[tuple[int, int, str, int]]]]
    error_code: int = 0


class Admin:
    """Answers as a broker would; a real one is not ready for a moment only, at a time of its own choosing."""

    def __init__(self, groups: Groups, offsets: Offsets) -> None:
        self._answers = [groups, offsets]

    async def find_coordinator(self, _: str) -> int:
        return 1

    async def _send_request(self, _: Any, __: int) -> Any:
        return self._answers.pop(0)


def group(error_code: int = 0, members: Sequence[tuple[Any, ...]] = ()) -> Groups:
    return Groups([(error_code, "workers", "Stable", "consumer", "roundrobin", list(members))])


def committed(*parts: tuple[int, int, str, int], error_code: int = 0) -> Offsets:
    return Offsets([("events_page_view", list(parts))], error_code)


async def described(groups: Groups, offsets: Offsets) -> Any:
    return await describe(Admin(groups, offsets), "workers", [ONE, OTHER])  # type: ignore[arg-type]  see above


async def test_a_group_has_its_members_and_commits() -> None:
    member = ("tidemark-worker-1a2b3c4d5e6f", "tidemark-worker", "/127.0.0.1", b"", b"")
    found = await described(group(members=[member]), committed((0, 12, "", 0), (1, -1, "", 0)))
    assert [(each.id, each.host) for each in found.members] == [("tidemark-worker 1a2b3c4d", "127.0.0.1")]
    assert found.committed == {ONE: 12}  # the other has no commit


async def test_an_assignment_in_a_form_that_is_not_known_is_no_error() -> None:
    member = ("other-1", "other", "/10.0.0.1", b"", b"\x00\x09not ours")
    found = await described(group(members=[member]), committed())
    assert [each.partitions for each in found.members] == [0]


@pytest.mark.parametrize(
    ("groups", "offsets", "expected"),
    [
        (group(14), committed(), CoordinatorLoadInProgressError),
        (group(16), committed(), NotCoordinatorForGroupError),
        (group(), committed(error_code=14), CoordinatorLoadInProgressError),
        (group(), committed((0, -1, "", 3)), KafkaError),
    ],
)
async def test_a_refusal_is_an_error_and_no_empty_group(
    groups: Groups, offsets: Offsets, expected: type[KafkaError]
) -> None:
    with pytest.raises(expected, match="workers"):
        await described(groups, offsets)

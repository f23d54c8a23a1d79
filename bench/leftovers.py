"""What is still in Kafka when a repeat ends: dead letters, and records the group has not committed."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError as CoordinatorNotAvailable
from aiokafka.errors import GroupLoadInProgressError as CoordinatorLoadInProgress
from numpy.typing import NDArray

from bench.offered import id_low_of_props
from pipeline import skipped
from pipeline.settings import Kafka
from pipeline.topics import event_topics

_FETCH_MS = 1_000
_EMPTY_FETCHES = 10
_RETRY_S = 0.1


@dataclass(frozen=True)
class Leftovers:
    """Ids (their low 64 bits, as the event carries them; 0 where it carries none), shape (records,).

    ``gaps``: in words, what Kafka deleted before a worker read it.
    """

    dead_letters: NDArray[np.uint64]
    undrained: NDArray[np.uint64]
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupPosition:
    """Offsets summed over a group's partitions: records written, and records committed.

    A worker at rest commits its position, so that markers of transactions behind the last record are no backlog.
    """

    written: int
    committed: int

    @property
    def backlog(self) -> int:
        """Records that the group has not committed."""
        return self.written - self.committed


class GroupWatch:
    """Watches how far a consumer group is; an async context manager, with one connection kept open."""

    def __init__(self, kafka: Kafka, group_id: str) -> None:
        self._kafka = kafka
        self._group_id = group_id
        common = {"bootstrap_servers": kafka.bootstrap_servers, "request_timeout_ms": kafka.request_timeout_ms}
        # Read as a worker reads: what is in an open transaction is no backlog yet.
        self._consumer = AIOKafkaConsumer(
            **common, enable_auto_commit=False, auto_offset_reset="earliest", isolation_level="read_committed"
        )
        self._admin = AIOKafkaAdminClient(**common)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        await self._admin.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()
        await self._consumer.stop()

    async def partitions(self, topics: tuple[str, ...]) -> list[TopicPartition]:
        """List the partitions of ``topics``."""
        described = await self._admin.describe_topics(list(topics))
        return [TopicPartition(each["topic"], part["partition"]) for each in described for part in each["partitions"]]

    async def position(self) -> GroupPosition:
        """Sum the end offsets and the committed offsets over all event topics."""
        partitions = await self.partitions(event_topics(self._kafka))
        committed = await self.committed()  # first: what is committed meanwhile was written before
        written = await self._consumer.end_offsets(partitions)
        return GroupPosition(sum(written.values()), sum(committed.get(each, 0) for each in partitions))

    async def committed(self) -> Mapping[TopicPartition, int]:
        """Give the offset that the group goes on from, by partition; none where it has committed none."""
        deadline = time.monotonic() + self._kafka.request_timeout_ms / 1000
        while True:
            try:
                offsets = await self._admin.list_consumer_group_offsets(self._group_id)
                break
            except (CoordinatorLoadInProgress, CoordinatorNotAvailable):  # a fresh broker's first group
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_RETRY_S)
        return {partition: max(0, each.offset) for partition, each in offsets.items()}

    async def leftovers(self) -> Leftovers:
        """Read the dead letters of this repeat and what the group has left unread."""
        committed = await self.committed()
        events = await self.partitions(event_topics(self._kafka))
        dead = await self.partitions((self._kafka.dead_letter_topic,))
        return Leftovers(
            dead_letters=await self._read(dict.fromkeys(dead, 0)),
            undrained=await self._read({each: committed.get(each, 0) for each in events}),
            gaps=tuple(each.words() for each in await self._missed(events)),
        )

    async def _missed(self, partitions: Sequence[TopicPartition]) -> tuple[skipped.Missed, ...]:
        counts = Counter(each.topic for each in partitions)
        return await skipped.missed(self._admin, self._kafka, self._group_id, counts)

    async def _read(self, starts: Mapping[TopicPartition, int]) -> NDArray[np.uint64]:
        """Read each partition from its start to its present end."""
        ends = await self._consumer.end_offsets(list(starts))
        open_ones = {each for each, start in starts.items() if start < ends[each]}
        found: list[int] = []
        if not open_ones:
            return np.zeros(0, dtype=np.uint64)
        self._consumer.assign(list(open_ones))
        for each in open_ones:
            self._consumer.seek(each, starts[each])
        empty = 0
        while open_ones and empty < _EMPTY_FETCHES:
            fetched = await self._consumer.getmany(timeout_ms=_FETCH_MS)
            empty = 0 if fetched else empty + 1
            for partition, records in fetched.items():
                found += [_id_low_of(each.value) for each in records if each.offset < ends[partition]]
            open_ones = {each for each in open_ones if await self._consumer.position(each) < ends[each]}
        return np.array(found, dtype=np.uint64)


def _id_low_of(value: bytes | None) -> int:
    try:
        event = json.loads(value or b"")
    except ValueError:
        return 0
    return id_low_of_props(event.get("props")) if isinstance(event, dict) else 0

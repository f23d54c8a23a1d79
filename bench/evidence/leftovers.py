"""What is still in Kafka when a repeat ends: dead letters, and records the group has not committed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from numpy.typing import NDArray

from bench.errors import RepeatError
from bench.evidence.offered import id_low_of_props
from bench.retries import PATIENCE_S, answered
from pipeline.messages import skipped
from pipeline.messages.topics import event_topics
from pipeline.provision import DEAD_LETTER_PARTITIONS
from pipeline.settings import Kafka

_FETCH_MS = 1_000

_Answer = TypeVar("_Answer")


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

    @property
    def at_rest(self) -> bool:
        """Whether it has committed everything."""
        return self.backlog == 0


class GroupWatch:
    """Watches the position of a consumer group; an async context manager that keeps one connection open.

    If a broker goes away, it waits for it, as the system itself does.
    """

    def __init__(self, kafka: Kafka, group_id: str, *, patience_s: float = PATIENCE_S) -> None:
        """``patience_s``: how long it repeats one request before it gives up."""
        self._kafka = kafka
        self._group_id = group_id
        self._patience_s = patience_s
        common = {"bootstrap_servers": kafka.bootstrap_servers, "request_timeout_ms": kafka.request_timeout_ms}
        # Read as a worker reads: what is in an open transaction is no backlog yet.
        self._consumer = AIOKafkaConsumer(
            **common, enable_auto_commit=False, auto_offset_reset="earliest", isolation_level="read_committed"
        )
        self._admin = AIOKafkaAdminClient(**common)

    async def __aenter__(self) -> Self:
        try:
            await answered(self._consumer.start, patience_s=self._patience_s)
            await answered(self._admin.start, patience_s=self._patience_s)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._admin.close()
        finally:
            await self._consumer.stop()

    async def position(self) -> GroupPosition:
        """Sum the end offsets and the committed offsets over all event topics.

        Raises:
            KafkaError, TimeoutError, OSError: Kafka did not answer within ``patience_s``.
        """
        partitions = self._event_partitions()
        committed = await self.committed()  # first: what is committed meanwhile was written before
        written = await self._asked(lambda: self._consumer.end_offsets(partitions))
        return GroupPosition(sum(written.values()), sum(committed.get(each, 0) for each in partitions))

    async def committed(self) -> Mapping[TopicPartition, int]:
        """Return the offset that the group goes on from, by partition; none where it has committed none."""
        offsets = await self._asked(lambda: self._admin.list_consumer_group_offsets(self._group_id))
        return {partition: max(0, each.offset) for partition, each in offsets.items()}

    async def leftovers(self) -> Leftovers:
        """Read the dead letters of this repeat and what the group has left unread.

        Raises:
            RepeatError: they cannot be read to their end.
            KafkaError, TimeoutError, OSError: as :meth:`position`.
        """
        committed = await self.committed()
        dead = [TopicPartition(self._kafka.dead_letter_topic, number) for number in range(DEAD_LETTER_PARTITIONS)]
        return Leftovers(
            dead_letters=await self._read(dict.fromkeys(dead, 0)),
            undrained=await self._read({each: committed.get(each, 0) for each in self._event_partitions()}),
            gaps=tuple(each.words() for each in await self._asked(self._missed)),
        )

    async def _missed(self) -> tuple[skipped.Missed, ...]:
        counts = Counter(each.topic for each in self._event_partitions())
        return await skipped.missed(self._admin, self._kafka, self._group_id, counts)

    def _event_partitions(self) -> list[TopicPartition]:
        """Return the partitions as they were created: the client knows fewer while a broker is away."""
        numbers = range(self._kafka.partitions)
        return [TopicPartition(topic, number) for topic in event_topics(self._kafka) for number in numbers]

    async def _asked(self, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        return await answered(ask, patience_s=self._patience_s)

    async def _read(self, starts: Mapping[TopicPartition, int]) -> NDArray[np.uint64]:
        """Read each partition from its start to its present end."""
        ends = await self._asked(lambda: self._consumer.end_offsets(list(starts)))
        open_ones = {each for each, start in starts.items() if start < ends[each]}
        found: list[int] = []
        if not open_ones:
            return np.zeros(0, dtype=np.uint64)
        self._consumer.assign(list(open_ones))
        for each in open_ones:
            self._consumer.seek(each, starts[each])
        deadline = time.monotonic() + self._patience_s
        while open_ones:
            fetched = await self._consumer.getmany(*open_ones, timeout_ms=_FETCH_MS)
            for partition, records in fetched.items():
                found += [_id_low_of(each.value) for each in records if each.offset < ends[partition]]
            before, open_ones = (
                open_ones,
                {each for each in open_ones if await self._consumer.position(each) < ends[each]},
            )
            if fetched or len(open_ones) < len(before):
                deadline = time.monotonic() + self._patience_s
            elif time.monotonic() > deadline:
                unread = ", ".join(f"{each.topic}-{each.partition}" for each in sorted(open_ones))
                raise RepeatError(
                    f"Kafka returned no records of {unread} for {self._patience_s:g} s: what is left is not known"
                )
        return np.array(found, dtype=np.uint64)


def _id_low_of(value: bytes | None) -> int:
    try:
        event = json.loads(value or b"")
    except ValueError:
        return 0
    return id_low_of_props(event.get("props")) if isinstance(event, dict) else 0

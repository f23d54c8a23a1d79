"""Where to read each partition from, and the log lines about records that are missing there.

Kafka deletes records by age, read or not, and a topic may be deleted and created again under its name. In both cases
aiokafka would continue at another place without a message.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.messages.groupnotes import Note, read_note
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.topicids import topic_ids

log = logging.getLogger(__name__)

_NONE = -1


Moves = dict[TopicPartition, int]  # where partitions are to be read from now on


class Positions:
    """The positions of this worker's partitions. Its notes go with each commit, so that the next owner has them."""

    def __init__(
        self, metrics: WorkerMetrics, move: Callable[[Moves], None], loss: str = "they are not stored"
    ) -> None:
        """``move`` makes the consumer read from other places; what it fetched before must not be committed.

        ``loss``: what it means that records are missing, for a log line.
        """
        self._metrics = metrics
        self._move = move
        self._loss = loss
        self._notes: dict[TopicPartition, Note] = {}
        self._committed: dict[TopicPartition, int] = {}

    async def take_over(self, consumer: AIOKafkaConsumer, assigned: Collection[TopicPartition]) -> None:
        """Read the group's positions of ``assigned``, and start elsewhere where a position cannot be used.

        Raises:
            KafkaError: Kafka did not answer.
        """
        self._notes, self._committed = {}, {}
        if not assigned:
            return
        found, first, ids = await asyncio.gather(
            consumer._coordinator.fetch_committed_offsets(list(assigned)),  # noqa: SLF001  # the public one has no text
            consumer.beginning_offsets(list(assigned)),
            _ids(consumer, assigned),
        )
        moves: Moves = {}
        for each in assigned:
            committed = found.get(each, OffsetAndMetadata(_NONE, ""))  # left out: nothing is committed
            self._committed[each] = committed.offset
            note = read_note(committed.metadata)
            topic_id = ids.get(each.topic, "")
            self._notes[each] = msgspec.structs.replace(note, topic_id=topic_id or note.topic_id)
            if committed.offset < 0:
                consumer.seek(each, first[each])
            elif topic_id and note.topic_id and topic_id != note.topic_id:
                moves[each] = self._anew(each, topic_id, first[each])
            elif committed.offset < first[each]:
                moves[each] = self._skip(each, committed.offset, first[each])
        self._move(moves)

    async def look_for_new_topics(self, consumer: AIOKafkaConsumer) -> None:
        """Restart those of our partitions whose topic has another id than when we took them over.

        Raises:
            KafkaError: Kafka did not answer.
        """
        ids = await _ids(consumer, self._notes)
        anew = [
            each
            for each, note in self._notes.items()
            if note.topic_id and ids.get(each.topic, note.topic_id) != note.topic_id
        ]
        first = await consumer.beginning_offsets(anew) if anew else {}
        self._move({each: self._anew(each, ids[each.topic], first[each]) for each in first if each in self._notes})

    async def recover(self, consumer: AIOKafkaConsumer, missed: Mapping[TopicPartition, int]) -> None:
        """Continue with partitions for which Kafka has no record at the offset that we asked for.

        Raises:
            KafkaError: Kafka did not answer.
        """
        ours = [each for each in missed if each in self._notes]  # another worker has the others
        first = await consumer.beginning_offsets(ours) if ours else {}
        moves: Moves = {}
        for each, offset in first.items():
            if self.known(consumer, each) != missed[each]:
                continue  # it has been moved since
            if missed[each] < offset:
                moves[each] = self._skip(each, missed[each], offset)
            else:
                log.error(
                    "%s ends before offset %d, where this worker was: Kafka lost records of it, or the topic was made "
                    "anew. It is read from its start",
                    _name(each),
                    missed[each],
                )
                moves[each] = offset
        self._move(moves)

    @staticmethod
    def known(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
        """Return the offset of the next record of ``partition`` without waiting; None if it is not known now."""
        subscription = consumer._subscription.subscription  # noqa: SLF001  # the public one waits
        assignment = subscription.assignment if subscription else None
        if assignment is None or partition not in assignment.tps:
            return None
        state = assignment.state_value(partition)
        return int(state.position) if state.has_valid_position else None

    def advance(self, partition: TopicPartition, position: int) -> bool:
        """Whether ``position`` is beyond what is committed of ``partition``."""
        return partition in self._notes and position > max(self._committed.get(partition, 0), 0)

    def topic_id(self, partition: TopicPartition) -> str:
        """Return the id of the partition's topic, empty where the broker has none or the partition is not ours."""
        return self._notes[partition].topic_id if partition in self._notes else ""

    def to_commit(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return ``offsets`` with their notes, without partitions that are not ours (yet)."""
        return {
            each: OffsetAndMetadata(offset, self._notes[each].text())
            for each, offset in offsets.items()
            if each in self._notes
        }

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Note that ``offsets`` are committed."""
        self._committed.update(offsets)

    def _skip(self, partition: TopicPartition, wanted: int, first: int) -> int:
        skipped, note = first - wanted, self._notes[partition]
        log.error(
            "%d records of %s were deleted before a worker read them (offsets %d to %d): %s. Kafka "
            "keeps records for PIPELINE_KAFKA_RETENTION_MS; workers must not be away for longer",
            skipped,
            _name(partition),
            wanted,
            first - 1,
            self._loss,
        )
        self._metrics.skipped.inc(skipped)
        at_ms = time.time_ns() // 1_000_000
        self._notes[partition] = Note(note.topic_id, note.skipped + skipped, wanted, first, at_ms)
        return first

    def _anew(self, partition: TopicPartition, topic_id: str, first: int) -> int:
        log.warning(
            "topic %s was made anew (its id has changed): partition %d is read from its start",
            partition.topic,
            partition.partition,
        )
        self._notes[partition] = Note(topic_id)
        self._committed[partition] = -1
        return first


async def _ids(consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> dict[str, str]:
    return await topic_ids(consumer._client, {each.topic for each in partitions})  # noqa: SLF001  # it asks for no ids


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}, partition {partition.partition}"

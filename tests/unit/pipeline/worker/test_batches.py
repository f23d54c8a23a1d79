"""Cutting a fetch into batches: every record once, in order, within both bounds."""

from __future__ import annotations

import itertools

from aiokafka.structs import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from pipeline.worker.batches import MappedBatch, batches_of

GOOD = b'{"event":"e","user_id":"1","props":{"pad":"%s"}}'
OVERHEAD = len(GOOD) - 2


def record(partition: int, offset: int, size: int, *, good: bool = True) -> ConsumerRecord[bytes, bytes]:
    value = GOOD % (b"x" * (size - OVERHEAD)) if good else b"{" * size
    return ConsumerRecord("t", partition, offset, 0, 0, None, value, None, -1, len(value), ())


def cut(sizes: list[list[int]], max_events: int, max_bytes: int, *, good: bool = True) -> list[MappedBatch]:
    fetched = {
        TopicPartition("t", partition): [record(partition, at, size, good=good) for at, size in enumerate(column)]
        for partition, column in enumerate(sizes)
    }
    return list(batches_of(fetched, fetched_ns=5, epoch=3, max_events=max_events, max_bytes=max_bytes))


SIZES = st.lists(st.lists(st.integers(OVERHEAD, 400), min_size=1, max_size=30), max_size=4)


@given(SIZES, st.integers(1, 20), st.integers(1, 2000), st.booleans())
def test_every_record_is_in_one_batch_and_no_batch_is_over_its_bounds(
    sizes: list[list[int]],
    max_events: int,
    max_bytes: int,
    good: bool,  # noqa: FBT001  # hypothesis passes it
) -> None:
    batches = cut(sizes, max_events, max_bytes, good=good)
    seen = [
        (each.partition, each.offset)
        for batch in batches
        for each in [*batch.records, *(refusal.record for refusal in batch.refusals)]
    ]
    assert seen == [(partition, at) for partition, column in enumerate(sizes) for at in range(len(column))]
    for batch in batches:
        values = [each.serialized_value_size for each in [*batch.records, *(r.record for r in batch.refusals)]]
        assert 1 <= batch.events <= max_events
        assert sum(values) == batch.size_bytes
        assert batch.size_bytes <= max_bytes or batch.events == 1
        assert len(batch.documents) == len(batch.records)


@given(SIZES, st.integers(1, 20), st.integers(1, 2000))
def test_a_batch_is_closed_only_when_the_next_record_does_not_fit(
    sizes: list[list[int]], max_events: int, max_bytes: int
) -> None:
    batches = cut(sizes, max_events, max_bytes)
    for batch, following in itertools.pairwise(batches):
        first = following.records[0].serialized_value_size
        assert batch.events == max_events or batch.size_bytes + first > max_bytes


@given(SIZES, st.integers(1, 20))
def test_offsets_to_commit_are_one_beyond_the_last_of_each_partition(sizes: list[list[int]], max_events: int) -> None:
    committed: dict[TopicPartition, int] = {}
    for batch in cut(sizes, max_events, 10_000):
        for partition, offset in batch.offsets.items():
            assert offset == 1 + max(each.offset for each in batch.records if each.partition == partition.partition)
        committed.update(batch.offsets)
    assert committed == {TopicPartition("t", at): len(column) for at, column in enumerate(sizes)}


def test_batch_carries_stamp_and_assignment_of_its_fetch() -> None:
    (batch,) = cut([[100]], 10, 1000)
    assert (batch.fetched_ns, batch.epoch) == (5, 3)


def test_refused_records_count_for_the_commit() -> None:
    (batch,) = cut([[100, 100]], 10, 1000, good=False)
    assert [refusal.reason for refusal in batch.refusals] == ["malformed_json"] * 2
    assert batch.offsets == {TopicPartition("t", 0): 2}

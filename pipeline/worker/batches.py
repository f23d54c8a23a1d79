"""A batch: what one write holds, from mapping to the commit of its offsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from aiokafka.structs import TopicPartition
from msgspec import Struct, field

from pipeline.errors import InvalidEventError
from pipeline.store import Document, bytes_of
from pipeline.worker.mapping import Record, document_of, documents_of

_MAPPED_AT_ONCE = 128
_size_of = attrgetter("serialized_value_size")


class RefusedRecord(Struct, frozen=True, gc=False):
    """A record that cannot be stored: ``reason`` is short and stable, ``detail`` for people."""

    record: Record
    reason: str
    detail: str


class MappedBatch(Struct):
    """Records of one fetch, mapped. ``records``, ``documents`` and ``identifiers`` (of these) are parallel."""

    fetched_ns: int
    epoch: int  # the assignment under which they were fetched
    records: list[Record] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    identifiers: list[bytes] = field(default_factory=list)
    refusals: list[RefusedRecord] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)  # to commit: one beyond the last
    size_bytes: int = 0

    @property
    def events(self) -> int:
        """How many records it holds, refused ones too."""
        return len(self.records) + len(self.refusals)


def batches_of(
    fetched: Mapping[TopicPartition, Sequence[Record]],
    *,
    fetched_ns: int,
    epoch: int,
    max_events: int,
    max_bytes: int,
) -> Iterator[MappedBatch]:
    """Map ``fetched`` and cut it into batches of at most ``max_events`` and ``max_bytes``.

    A single record larger than ``max_bytes`` is a batch of its own. Bytes are those of the
    records' values. Each batch is made when asked for, so that its write can start before the
    next one is mapped.
    """
    batch = MappedBatch(fetched_ns, epoch)
    for partition, records in fetched.items():
        start = 0
        while start < len(records):
            end, size = _fitting(records, start, max_events - batch.events, max_bytes - batch.size_bytes)
            if end == start and batch.events:
                yield batch
                batch = MappedBatch(fetched_ns, epoch)
                continue
            if end == start:  # too large for any batch: one of its own
                end, size = start + 1, records[start].serialized_value_size
            _add(batch, records[start:end], size)
            batch.offsets[partition] = records[end - 1].offset + 1
            start = end
    if batch.events:
        yield batch


def _fitting(records: Sequence[Record], start: int, events: int, room_bytes: int) -> tuple[int, int]:
    """Where those of the next ``events`` records from ``start`` end that fit, and their bytes."""
    stop = min(start + events, len(records))
    size = sum(map(_size_of, records[start:stop]))  # -1 for none: a few bytes too small then
    if size <= room_bytes:  # nearly always
        return stop, size
    size = 0
    for at in range(start, stop):
        more = max(records[at].serialized_value_size, 0)
        if size + more > room_bytes:
            return at, size
        size += more
    return stop, size


def _add(batch: MappedBatch, records: Sequence[Record], size_bytes: int) -> None:
    batch.size_bytes += size_bytes
    for first in range(0, len(records), _MAPPED_AT_ONCE):
        some = records[first : first + _MAPPED_AT_ONCE]
        mapped = documents_of(some)
        if mapped is None:
            _add_each(batch, some)
        else:
            batch.documents += mapped[0]
            batch.identifiers += mapped[1]
            batch.records += some


def _add_each(batch: MappedBatch, records: Sequence[Record]) -> None:
    for record in records:
        try:
            document = document_of(record)
        except InvalidEventError as error:
            batch.refusals.append(RefusedRecord(record, error.code, str(error)))
        else:
            batch.documents.append(document)
            batch.identifiers.append(bytes_of(document["_id"]))
            batch.records.append(record)

"""From fetched records to rows: what the aggregates count of an event, and where it stood in Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from aiokafka.structs import TopicPartition
from msgspec import Meta, Struct, field

from pipeline.worker.mapping import Record

MINUTE_MS = 60_000
BIN_MS = 10_000
BINS = MINUTE_MS // BIN_MS
MOST_CHARACTERS = 200
"""Of a name that is kept: a type, a page, a referrer."""


class Row(NamedTuple):
    """One record. ``event_type`` is empty where a worker would refuse it; page and referrer where it has none."""

    offset: int
    bin: int
    event_type: str
    user_id: str
    url: str
    referrer: str


class RowsOfMinute(NamedTuple):
    """Consecutive rows of one partition that fall into one minute, by the records' own timestamps.

    ``partition`` names topic and partition so that a topic which is made anew, with offsets from 0, has another name.
    """

    partition: str
    minute_ms: int
    rows: Sequence[Row]

    @property
    def end(self) -> int:
        """One beyond the last offset."""
        return self.rows[-1].offset + 1

    def since(self, offset: int) -> Sequence[Row]:
        """The rows from ``offset`` on."""
        if self.rows[0].offset >= offset:
            return self.rows
        return [row for row in self.rows if row.offset >= offset]


class Counted(Struct):
    """A batch of the dashboard's group: parts in place of documents."""

    epoch: int
    parts: list[RowsOfMinute] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    events: int = 0


class _Props(Struct, gc=False):
    url: Any = None
    ref: Any = None
    referrer: Any = None


class _Message(Struct, gc=False):
    """What a worker takes, as far as it decides that, and what is counted; the rest is not decoded."""

    event: Annotated[str, Meta(min_length=1)]
    user_id: str | int
    props: _Props | None = None
    event_id: str | int | None = None


_decode = msgspec.json.Decoder(_Message).decode
_NO_PROPS = _Props()


class RowMaker:
    """Makes batches of rows from what the consumer fetched."""

    def __init__(self, topic_id: Callable[[TopicPartition], str]) -> None:
        """``topic_id``: the id of a partition's topic, empty where the broker has none."""
        self._topic_id = topic_id

    def __call__(
        self,
        fetched: Mapping[TopicPartition, Sequence[Record]],
        *,
        fetched_ns: int,  # noqa: ARG002  the consumer gives it to whatever makes batches
        epoch: int,
        max_events: int,
        max_bytes: int,  # noqa: ARG002  likewise: rows are small, and aiokafka bounds what it fetches
    ) -> Iterator[Counted]:
        """Return one batch, or more of at most ``max_events``."""
        batch = Counted(epoch)
        # All names at once, before anyone else has a turn: a topic may be made anew at any time.
        names = {each: f"{self._topic_id(each) or each.topic}:{each.partition}" for each in fetched}
        for partition, records in fetched.items():
            for start in range(0, len(records), max_events):
                some = records[start : start + max_events]
                if batch.events and batch.events + len(some) > max_events:
                    yield batch
                    batch = Counted(epoch)
                batch.parts += parts_of(names[partition], some)
                batch.offsets[partition] = some[-1].offset + 1
                batch.events += len(some)
        if batch.events:
            yield batch


def parts_of(partition: str, records: Sequence[Record]) -> Iterator[RowsOfMinute]:
    """Cut the records of one partition where the minute changes."""
    rows: list[Row] = []
    current = 0
    for record in records:
        minute = record.timestamp // MINUTE_MS
        if rows and minute != current:
            yield RowsOfMinute(partition, current * MINUTE_MS, rows)
            rows = []
        current = minute
        rows.append(_row(record))
    if rows:
        yield RowsOfMinute(partition, current * MINUTE_MS, rows)


def _row(record: Record) -> Row:
    at = record.timestamp % MINUTE_MS // BIN_MS
    try:
        message = _decode(record.value or b"")
    except (ValueError, RecursionError):
        return Row(record.offset, at, "", "", "", "")
    props = message.props or _NO_PROPS
    referrer = props.ref if props.referrer is None else props.referrer
    user_id = message.user_id
    return Row(
        record.offset,
        at,
        message.event,
        user_id if user_id.__class__ is str else str(user_id),
        props.url if props.url.__class__ is str else "",
        referrer if referrer.__class__ is str else "",
    )


def clean(text: str) -> str:
    """Return ``text`` as a database can keep it: not long, and without half a character."""
    return text[:MOST_CHARACTERS].encode("utf-8", "replace").decode()

"""From records to rows: what is counted of an event, and what a worker would refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from pipeline.dashboard.rows import MOST_CHARACTERS, Counted, RowMaker, clean, parts_of
from pipeline.errors import InvalidEventError
from pipeline.worker.mapping import document_of
from tests.unit.pipeline.dashboard.records import MINUTE_MS, NOON_MS, Record, event, raw


def rows(*records: Record) -> list[Any]:
    return [row for part in parts_of("p", records) for row in part.rows]


def made(fetched: dict[TopicPartition, list[Record]], most: int = 1_000) -> list[Counted]:
    maker = RowMaker(lambda each: f"id-of-{each.topic}")
    return list(maker(fetched, fetched_ns=0, epoch=7, max_events=most, max_bytes=1))


def test_a_row_has_type_user_page_and_referrer() -> None:
    (row,) = rows(event(5, "123", url="/home", ref="google", at_ms=NOON_MS + 25_000))
    assert row == (5, 2, "page_view", "123", "/home", "google")


def test_referrer_goes_before_ref_as_in_what_is_stored() -> None:
    (row,) = rows(event(0, url="/", ref="one", referrer="other"))
    assert row.referrer == "other"


def test_a_whole_number_as_user_is_its_text() -> None:
    (row,) = rows(raw(0, b'{"event":"a","user_id":12}'))
    assert row.user_id == "12"


@pytest.mark.parametrize("url", [1, None, ["/home"], {"a": 1}, True])
def test_a_page_that_is_no_text_is_no_page(url: Any) -> None:
    (row,) = rows(event(0, url=url))
    assert (row.event_type, row.url) == ("page_view", "")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b'{"event":"","user_id":"1"}',
        b'{"event":"a"}',
        b'{"event":"a","user_id":null}',
        b'{"event":"a","user_id":"1","props":[]}',
        b'{"event":"a","user_id":"1","event_id":[]}',
        b'{"event":"a","user_id":"1","props":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_what_a_worker_refuses_is_a_row_without_a_type(value: bytes | None) -> None:
    record = raw(3, value)
    with pytest.raises(InvalidEventError):
        document_of(record)
    (row,) = rows(record)
    assert (row.offset, row.event_type, row.user_id) == (3, "", "")


@pytest.mark.parametrize("value", [{"event": "a", "user_id": "1"}, {"event": "a", "user_id": 5, "props": None}])
def test_what_a_worker_takes_is_counted(value: dict[str, Any]) -> None:
    record = raw(3, json.dumps(value).encode())
    document_of(record)
    (row,) = rows(record)
    assert row.event_type == "a"


def test_parts_change_with_the_minute_of_the_records_own_time() -> None:
    parts = list(parts_of("p", [event(0), event(1, at_ms=NOON_MS + MINUTE_MS), event(2, at_ms=NOON_MS + MINUTE_MS)]))
    assert [(part.minute_ms, part.end) for part in parts] == [(NOON_MS, 1), (NOON_MS + MINUTE_MS, 3)]


def test_rows_of_a_minute_can_be_cut_from_an_offset_on() -> None:
    (part,) = parts_of("p", [event(4), event(5), event(9)])
    assert [row.offset for row in part.since(5)] == [5, 9]
    assert part.since(3) is part.rows


def test_partitions_are_named_by_the_topics_id() -> None:
    (batch,) = made({TopicPartition("t", 2): [event(0)]})
    assert batch.parts[0].partition == "id-of-t:2"


def test_a_batch_frees_the_offsets_behind_its_last_records() -> None:
    one, other = TopicPartition("t", 0), TopicPartition("t", 1)
    (batch,) = made({one: [event(0), event(7)], other: [event(3)]})
    assert (batch.offsets, batch.events, batch.epoch) == ({one: 8, other: 4}, 3, 7)


def test_no_batch_holds_more_than_it_may() -> None:
    found = made({TopicPartition("t", 0): [event(each) for each in range(25)]}, most=10)
    assert [batch.events for batch in found] == [10, 10, 5]
    assert [list(batch.offsets.values()) for batch in found] == [[10], [20], [25]]


def test_names_are_cut_and_can_be_kept_by_the_database() -> None:
    assert len(clean("x" * 5_000)) == MOST_CHARACTERS
    assert clean("a\ud800b") == "a?b"

"""From a record to a document: the seed's format, what other producers make of it, and what is no event."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidEventError
from pipeline.messages.identifiers import document_id
from pipeline.messages.timestamps import read_timestamp, read_timestamps, record_time
from pipeline.store import Document
from pipeline.worker.mapping import ORIGINAL_TIMESTAMP, document_of, documents_of

naive = datetime.fromisoformat  # in UTC, as the encoder wants it
RECORD_MS = 1_764_158_400_123
RECORD_TIME = naive("2025-11-26T12:00:00.123")
SEED = {
    "event": "page_view",
    "user_id": "123",
    "props": {"url": "/home", "ref": "google"},
    "timestamp": "2025-11-26T12:00:00Z",
}


def record(value: bytes | None, timestamp_ms: int = RECORD_MS, offset: int = 42) -> ConsumerRecord[bytes, bytes]:
    size = -1 if value is None else len(value)
    return ConsumerRecord("events_page_view", 0, offset, timestamp_ms, 0, b"123", value, None, 3, size, ())


def mapped(**changes: Any) -> dict[str, Any]:
    return document_of(record(json.dumps({**SEED, **changes}).encode()))


def refusal(value: bytes | None) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        document_of(record(value))
    return caught.value


def test_seed_message_becomes_the_seed_document() -> None:
    document = mapped()
    identifier = document.pop("_id")
    assert isinstance(identifier, bson.ObjectId)
    assert document == {
        "event_type": "page_view",
        "user_id": "123",
        "props": {"url": "/home", "referrer": "google"},
        "timestamp": naive("2025-11-26T12:00:00"),
    }


def test_fields_stand_in_the_order_of_the_seed() -> None:
    assert list(mapped(event_id="a", extra=1)) == ["_id", "event_type", "user_id", "props", "timestamp"]


def test_document_is_what_a_reader_in_mongodb_gets() -> None:
    read = bson.decode(bson.encode(mapped()))
    assert read["timestamp"] == naive("2025-11-26T12:00:00")
    assert isinstance(read["_id"], bson.ObjectId)


def test_id_comes_from_the_event_id() -> None:
    first = mapped(event_id="order-1")["_id"]
    again = document_of(record(json.dumps({**SEED, "event_id": "order-1"}).encode(), offset=7))["_id"]
    assert first == again


@pytest.mark.parametrize("event_id", [None, ""])
def test_without_event_id_the_origin_gives_the_id(event_id: str | None) -> None:
    value = json.dumps({**SEED, "event_id": event_id}).encode()
    expected = document_id(None, topic="events_page_view", partition=0, offset=42, timestamp_ms=RECORD_MS, value=value)
    assert document_of(record(value))["_id"].binary == expected


@pytest.mark.parametrize("place", [b"t/2147483648/1", b"t/1/9223372036854775808", b"t/1/" + b"9" * 5_000])
def test_a_header_that_names_no_place_in_kafka_ends_no_worker(place: bytes) -> None:
    value = json.dumps(SEED).encode()
    forged = replace(record(value), headers=(("tidemark.origin", place),))
    expected = document_of(record(value))["_id"]
    assert document_of(forged)["_id"] == expected
    found = documents_of([forged])
    assert found is not None
    assert found[0][0]["_id"] == expected


def test_whole_number_as_event_id_counts_as_its_text() -> None:
    assert mapped(event_id=17)["_id"] == mapped(event_id="17")["_id"]


@pytest.mark.parametrize("user_id", [7, 2**70, -1])
def test_whole_number_as_user_id_becomes_its_text(user_id: int) -> None:
    assert mapped(user_id=user_id)["user_id"] == str(user_id)


def test_referrer_stays_and_ref_is_kept_beside_it() -> None:
    assert mapped(props={"ref": "a", "referrer": "b"})["props"] == {"ref": "a", "referrer": "b"}


def test_extra_props_stay_as_they_are() -> None:
    props = {"nested": {"ref": "inner", "list": [1, 2.5, None, True]}, "$set": 1, "a.b": 2, "": 3, "ü": "☃"}
    assert mapped(props=props)["props"] == props


@pytest.mark.parametrize("props", [None, {}])
def test_absent_or_empty_props_become_an_empty_object(props: dict[str, Any] | None) -> None:
    assert mapped(props=props)["props"] == {}


def test_fields_beside_those_of_the_seed_are_left_out() -> None:
    assert "session" not in mapped(session="s1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-26T12:00:00Z", naive("2025-11-26T12:00:00")),
        ("2025-11-26T12:00:00.123Z", naive("2025-11-26T12:00:00.123")),
        ("2025-11-26T12:00:00.123999999Z", naive("2025-11-26T12:00:00.123")),
        ("1969-12-31T23:59:59.9999Z", naive("1969-12-31T23:59:59.999")),
        ("2025-11-26T12:00:00+02:00", naive("2025-11-26T10:00:00")),
        ("2025-11-26T12:00:00-05:30", naive("2025-11-26T17:30:00")),
        ("2025-11-26T12:00:00", naive("2025-11-26T12:00:00")),
        ("2025-11-26 12:00:00Z", naive("2025-11-26T12:00:00")),
        ("2025-11-26t12:00:00z", naive("2025-11-26T12:00:00")),
        ("2025-11-26", naive("2025-11-26T00:00:00")),
        ("0001-01-01T00:00:00Z", naive("0001-01-01T00:00:00")),
        ("9999-12-31T23:59:59.999Z", naive("9999-12-31T23:59:59.999")),
    ],
)
def test_timestamp_is_read_and_cut_to_milliseconds(text: str, expected: datetime) -> None:
    document = mapped(timestamp=text)
    assert ORIGINAL_TIMESTAMP not in document["props"]
    assert bson.decode(bson.encode(document))["timestamp"] == expected


@pytest.mark.parametrize(
    "odd",
    [
        "yesterday",
        "",
        "2025-11-26T25:00:00Z",
        "2025-11-26T12:00:00ZZ",
        "2025-11-26T12:00:00+02:00Z",
        "1711012312345",
        "20251126T120000Z",
        "0000-01-01T00:00:00Z",
        "+012345-01-01T00:00:00Z",
        "0001-01-01T00:00:00+02:00",
        "9999-12-31T23:59:59-02:00",
        1_764_158_400_000,
        -1,
        1.5,
        True,
        ["2025-11-26"],
        {"$date": 0},
    ],
    ids=repr,
)
def test_odd_timestamp_becomes_the_record_time_and_is_kept_in_props(odd: Any) -> None:
    document = bson.decode(bson.encode(mapped(timestamp=odd)))
    assert document["timestamp"] == RECORD_TIME
    assert document["props"][ORIGINAL_TIMESTAMP] == odd


def test_odd_timestamp_too_large_for_bson_is_kept_as_text() -> None:
    document = bson.decode(bson.encode(mapped(timestamp=2**80)))
    assert document["props"][ORIGINAL_TIMESTAMP] == str(2**80)


def test_odd_timestamp_takes_no_name_that_is_taken() -> None:
    document = mapped(props={ORIGINAL_TIMESTAMP: "mine"}, timestamp="soon")
    assert document["props"] == {ORIGINAL_TIMESTAMP: "mine", ORIGINAL_TIMESTAMP + "_": "soon"}


def test_absent_timestamp_becomes_the_record_time() -> None:
    document = mapped(timestamp=None)
    assert document["timestamp"] == RECORD_TIME
    assert ORIGINAL_TIMESTAMP not in document["props"]


@pytest.mark.parametrize("timestamp_ms", [-(2**63), -1, 2**63 - 1])
def test_any_record_time_is_one_that_readers_can_decode(timestamp_ms: int) -> None:
    assert bson.decode(bson.encode({"t": record_time(timestamp_ms)}))["t"].year in {1, 1969, 9999}


def test_reading_agrees_with_the_clock_of_another_zone() -> None:
    moment = datetime.now(UTC).replace(microsecond=0)
    assert read_timestamp(moment.isoformat()) == moment.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{", "malformed_json"),
        (b"not json", "malformed_json"),
        (b'{"event":"a","user_id":"\xff"}', "malformed_json"),
        (b'{"event":"a","user_id":"\\ud800"}', "malformed_json"),
        (b'{"event":"a","user_id":"1"} {}', "malformed_json"),
        (b'{"event":"a","user_id":"1","props":{"n":NaN}}', "malformed_json"),
        (b'{"event":"a","user_id":"1","props":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "malformed_json"),
        (b"null", "invalid_event"),
        (b"[]", "invalid_event"),
        (b'"text"', "invalid_event"),
        (b"{}", "invalid_event"),
        (b'{"event":"","user_id":"1"}', "invalid_event"),
        (b'{"event":7,"user_id":"1"}', "invalid_event"),
        (b'{"event":"a"}', "invalid_event"),
        (b'{"event":"a","user_id":null}', "invalid_event"),
        (b'{"event":"a","user_id":1.5}', "invalid_event"),
        (b'{"event":"a","user_id":true}', "invalid_event"),
        (b'{"event":"a","user_id":"1","props":[]}', "invalid_event"),
        (b'{"event":"a","user_id":"1","props":{"n":1e999}}', "invalid_event"),
        (b'{"event":"a","user_id":"1","event_id":{}}', "invalid_event"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_event_is_refused_with_a_reason(value: bytes | None, code: str) -> None:
    error = refusal(value)
    assert error.code == code
    assert str(error)


def test_refusal_names_the_field() -> None:
    assert "user_id" in str(refusal(b'{"event":"a","user_id":[]}'))


USUAL = {**SEED, "timestamp": "2025-11-26T12:00:00.123Z", "event_id": "019ac0a1-c18d-7000-8001-000000000000"}
CHANGES = st.sampled_from(
    [
        {},
        {"event_id": "019ac0a1-c18d-7fff-bfff-0123456789ab"},
        {"event_id": None},
        {"event_id": 17},
        {"event_id": "order-1"},
        {"event_id": "019ac0a1-c18d-7000-8001-00000000000 "},
        {"user_id": 7},
        {"props": None},
        {"props": {"ref": "a", "referrer": "b"}},
        {"timestamp": "2025-11-26T12:00:00Z"},
        {"timestamp": "2025-11-26T12:00:00+01:00"},
        {"timestamp": "2025-11-26"},
    ]
)
UNREADABLE = st.sampled_from([{"timestamp": None}, {"timestamp": 12}, {"timestamp": "yesterday"}, {"event": ""}])


def records(changes: list[dict[str, Any]]) -> list[ConsumerRecord[bytes, bytes]]:
    return [record(json.dumps({**USUAL, **each}).encode(), offset=at) for at, each in enumerate(changes)]


def one_by_one(some: list[ConsumerRecord[bytes, bytes]]) -> tuple[list[Document], list[bytes]]:
    documents = [document_of(each) for each in some]
    return documents, [document["_id"].binary for document in documents]


@given(st.lists(CHANGES, min_size=1, max_size=6))
def test_many_at_once_become_what_they_become_one_by_one(changes: list[dict[str, Any]]) -> None:
    some = records(changes)
    found = documents_of(some)
    assert found is not None
    assert bson.encode({"all": found[0]}) == bson.encode({"all": one_by_one(some)[0]})
    assert found == one_by_one(some)


@given(st.lists(CHANGES, max_size=3), UNREADABLE, st.lists(CHANGES, max_size=3))
def test_one_that_takes_care_has_all_of_them_mapped_one_by_one(
    before: list[dict[str, Any]], unusual: dict[str, Any], after: list[dict[str, Any]]
) -> None:
    assert documents_of(records([*before, unusual, *after])) is None


@pytest.mark.parametrize("value", [None, b"", b" ", b"{", b"[1]", b"null"])
def test_one_that_is_no_event_has_all_of_them_mapped_one_by_one(value: bytes | None) -> None:
    assert documents_of([*records([{}]), record(value)]) is None


TIMES = st.sampled_from(
    [
        "2025-11-26T12:00:00Z",
        "2025-11-26T12:00:59Z",
        "2025-11-26T12:00:00.1Z",
        "2025-11-26T12:00:00.123Z",
        "2025-W48-3T12:00:00Z",
        "2025-11-26T12:00+01Z",
        "2025-11-26T12:00-01Z",
        "2025-11-26TZ2:00:00Z",
        "2025-11-26 12:00:00Z",
        "2025-13-26T12:00:00Z",
        "2025-11-26TZ",
        "2025-11-26",
        "Z",
        "",
        5,
        None,
        ["2025-11-26T12:00:00Z"],
    ]
)


@given(st.lists(TIMES, max_size=5) | TIMES.flatmap(lambda one: st.lists(st.just(one), max_size=4)))
def test_timestamps_read_together_are_what_they_are_alone(values: list[Any]) -> None:
    alone = [read_timestamp(value) for value in values]
    assert read_timestamps(values) == (None if None in alone else alone)

"""What an event may be, and what a client learns of one that may not be."""

from __future__ import annotations

import json
import time
from datetime import UTC
from typing import Any

import bson
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidEventError
from pipeline.messages.events import MAX_DEPTH, complete, iso_8601, message_of, read_event
from pipeline.messages.timestamps import read_timestamp

EVENT = {"event": "page_view", "user_id": "123"}


def event(**fields: Any) -> bytes:
    return json.dumps({**EVENT, **fields}).encode()


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for level in range(levels - 1):
        value = [value] if level % 2 else {"a": value}
    return {"a": value}


def refusal(data: bytes) -> tuple[str, str]:
    with pytest.raises(InvalidEventError) as caught:
        read_event(data)
    return caught.value.code, str(caught.value)


def test_the_seeds_event_becomes_the_seeds_message() -> None:
    taken = read_event(event(props={"url": "/home", "ref": "google"}))
    complete(taken, 1_764_158_400_005)
    message = json.loads(message_of(taken))
    event_id = message.pop("event_id")
    assert event_id[14] == "7"
    assert message == {
        "event": "page_view",
        "user_id": "123",
        "props": {"url": "/home", "ref": "google"},
        "timestamp": "2025-11-26T12:00:00.005Z",
    }


def test_what_the_client_gave_is_not_touched() -> None:
    given_fields = {"props": {"z": 1, "a": [None, "\0"]}, "timestamp": "2020-02-29 10:00+05:30", "event_id": "mine"}
    taken = read_event(event(**given_fields))
    complete(taken, 0)
    assert json.loads(message_of(taken)) == {**EVENT, **given_fields}


def test_null_counts_as_left_out() -> None:
    taken = read_event(event(props=None, timestamp=None, event_id=None))
    complete(taken, 0)
    message = json.loads(message_of(taken))
    assert message["props"] == {}
    assert message["timestamp"] == "1970-01-01T00:00:00.000Z"
    assert message["event_id"]


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        (b'{"event":"a"}', "user_id: is missing"),
        (event(userid="1"), "userid: unknown field; an event has event, user_id, props, timestamp, event_id"),
        (event(event=""), "event: expected string of length >= 1"),
        (event(event="x" * 201), "event: expected string of length <= 200"),
        (event(user_id=123), "user_id: expected string, got integer"),
        (event(user_id=None), "user_id: expected string, got null"),
        (event(user_id="x" * 257), "user_id: expected string of length <= 256"),
        (event(event_id=""), "event_id: expected string of length >= 1"),
        (event(event_id="x" * 201), "event_id: expected string of length <= 200"),
        (event(props=[]), "props: expected object, got array"),
        (event(timestamp=1764158400), "timestamp: expected string, got integer"),
        (event(timestamp="soon"), "timestamp: 'soon' cannot be read; send ISO 8601"),
        (event(timestamp="2025-13-01T00:00:00Z"), "timestamp: '2025-13-01T00:00:00Z' cannot be read"),
        (event(timestamp="0001-01-01T00:00:00+14:00"), "timestamp: "),
        (b"[]", "this: expected object, got array"),
        (b"7", "this: expected object, got integer"),
        (event(props={"a": [{"b": 2**63}]}), "props.a.0.b: this integer needs more than 8 bytes"),
        (event(props={"a": -(2**63) - 1}), "props.a: this integer needs more than 8 bytes"),
        (event(props={"a": {"b\0c": 1}}), "props.a: the name 'b\\x00c' holds a NUL"),
        (event(props=nested(MAX_DEPTH + 1)), "props.a"),
        (b'{"event":"a","user_id":"b","props":{"a":1e999}}', "props[...]: number out of range"),
        (b'{"event":"a","user_id":"b","props":{"a":NaN}}', "props.a: NaN is not a number in JSON"),
        (b'{"event":"a","user_id":"b","props":{"a":[1,-Infinity]}}', "props.a.1: -Infinity is not a number in JSON"),
        (b'{"event":"\\ud800","user_id":"b"}', "event: a lone surrogate is not text"),
        (b'{"event":"a","user_id":"b\\udc00"}', "user_id: a lone surrogate is not text"),
        (b'{"event":"a","user_id":"b","props":{"x":{"\\ud83d":1}}}', "props.x: a name holds a lone surrogate"),
        (b'{"event":"a","user_id":"b","props":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001, "props: nested deeper"),
    ],
)
def test_a_mistake_in_an_event_is_reported_by_field(data: bytes, begins: str) -> None:
    code, message = refusal(data)
    assert code == "invalid_event"
    assert message.startswith(begins)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"event=page_view",
        b'{"event":"a","user_id":"b"',
        b'{"event":"a","user_id":"b"}{}',
        b'{"event":"\xed\xa0\x80","user_id":"b"}',
        b'{"event":"\xff","user_id":"b"}',
        b'{"event":"\x01","user_id":"b"}',
        b'\xef\xbb\xbf{"event":"a","user_id":"b"}',
    ],
)
def test_text_that_is_not_json_is_reported_as_such(data: bytes) -> None:
    assert refusal(data)[0] == "invalid_json"


def test_a_long_name_above_many_objects_costs_no_more_than_its_bytes() -> None:
    def seconds(name: str) -> float:
        data = event(props={name: [{}] * 10_000})
        began = time.process_time()
        read_event(data)
        return time.process_time() - began

    assert min(seconds("x" * 1_000_000) for _ in range(3)) < 20 * min(seconds("x") for _ in range(3))


def test_what_only_just_fits_is_taken() -> None:
    read_event(event(event="x" * 200, user_id="ü" * 256, event_id="x" * 200))
    read_event(event(props={"a": 2**63 - 1, "b": -(2**63), "c": 1.7e308, "": "", "$x.y": 1}))
    read_event(event(props=nested(MAX_DEPTH)))


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    taken = read_event(b'{"event":"a","user_id":"b","event":"c","props":{"x":1,"x":2}}')
    assert (taken.event, taken.props) == ("c", {"x": 2})
    assert message_of(taken).count(b'"event"') == 1


def test_a_message_tells_no_more_than_a_little_of_the_clients_text() -> None:
    long = "x" * 50_000
    for data in (event(**{long: 1}), event(timestamp=long), event(props={long: {long: 2**70}})):
        assert len(refusal(data)[1]) < 400


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_of_receipt_is_read_back_to_the_millisecond(unix_ms: int) -> None:
    read = read_timestamp(iso_8601(unix_ms))
    assert read is not None
    assert round(read.replace(tzinfo=UTC).timestamp() * 1000) == unix_ms


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON), st.text(), st.text(), st.text() | st.none())
def test_whatever_is_taken_can_be_stored(props: dict[str, Any], kind: str, user_id: str, timestamp: str | None) -> None:
    data = msgspec.json.encode({"event": kind, "user_id": user_id, "props": props, "timestamp": timestamp})
    try:
        taken = read_event(data)
    except InvalidEventError:
        return
    complete(taken, 0)
    message = msgspec.json.decode(message_of(taken))
    stored = {"_id": b"", "event_type": message["event"], "user_id": message["user_id"], "props": message["props"]}
    stored["timestamp"] = read_timestamp(message["timestamp"])
    assert stored["timestamp"] is not None
    assert bson.decode(bson.encode(stored))["props"] == props

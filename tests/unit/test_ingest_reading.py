"""From a body to records: the way for usual events gives what the careful one gives, or leaves it to that."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidEventError
from pipeline.events import Event, message_of, read_event, usual_event, usual_events
from pipeline.ingest.answers import RefusedError
from pipeline.ingest.reading import EventReader, Taken
from pipeline.settings import Api, Settings

NOW_MS = 1_764_158_400_005
USUAL = {"event": "page_view", "user_id": "u", "props": {"a": 1}, "timestamp": "2025-11-26T12:00:00Z", "event_id": "x"}

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
_times = st.sampled_from(
    ["2025-11-26T12:00:00Z", "2025-11-26", "20251126T120000", "", "2025-11-26T12:00:00+05:30", "x"]
)
_fields = st.fixed_dictionaries(
    {"event": st.sampled_from(["page_view", "other", ""]), "user_id": st.text(max_size=3)},
    optional={
        "props": st.none() | st.dictionaries(st.text(max_size=4), _values, max_size=3),
        "timestamp": st.none() | _times,
        "event_id": st.none() | st.text(max_size=3),
    },
)


def carefully(data: bytes) -> Event | None:
    try:
        return read_event(data)
    except InvalidEventError:
        return None


def as_read(event: Event | None) -> bytes | None:
    return None if event is None else message_of(event)


@given(_fields)
def test_a_usual_event_is_what_the_careful_way_gives(fields: dict[str, Any]) -> None:
    data = json.dumps(fields).encode()
    found = usual_event(data)
    if found is not None:
        assert as_read(found) == as_read(carefully(data))


@given(st.lists(_fields, min_size=1, max_size=4), st.booleans())
def test_usual_events_are_what_the_careful_way_gives(events: list[dict[str, Any]], alone: bool) -> None:  # noqa: FBT001 - hypothesis fills it
    found = usual_events(json.dumps(events if alone else {"events": events}).encode(), 10)
    if found is not None:
        assert [message_of(each) for each in found] == [
            as_read(carefully(json.dumps(each).encode())) for each in events
        ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"props": {"a": {"b": [1, "x", None, 2.5, True]}, "c": [{"d": 2**63 - 1}], "e": -(2**63)}},
        {"props": None, "timestamp": None, "event_id": None},
        {"timestamp": "2020-02-29 10:00+05:30"},
    ],
)
def test_most_events_are_usual(fields: dict[str, Any]) -> None:
    assert usual_event(json.dumps({**USUAL, **fields}).encode()) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"props": {"a": 2**63}},
        {"props": {"a": [-(2**63) - 1]}},
        {"props": {"a\0": 1}},
        {"timestamp": "yesterday"},
        {"timestamp": "20251126T120000"},
        {"event": ""},
        {"more": 1},
    ],
)
def test_what_is_refused_is_never_usual(fields: dict[str, Any]) -> None:
    data = json.dumps({**USUAL, **fields}).encode()
    assert carefully(data) is None
    assert usual_event(data) is None
    assert usual_events(b"[" + data + b"]", 10) is None


def reader(**bounds: int) -> EventReader:
    return EventReader(Settings(api=Api(**bounds)))  # type: ignore[arg-type]  # all of those used are integers


def batch_of(*events: object) -> bytes:
    return msgspec.json.encode({"events": events})


def test_a_batch_keeps_its_order_and_tells_what_it_refuses() -> None:
    other = {**USUAL, "event": "unheard_of", "user_id": "v"}
    taken = reader().batch(batch_of(USUAL, {"event": 3}, other), NOW_MS)
    assert list(taken.places) == [0, 2]
    assert [each.index for each in taken.rejected] == [1]
    assert taken.records.topics == ["events_page_view", "events_generic"]
    assert taken.records.users == ["u", "v"]
    assert [msgspec.json.decode(each) for each in taken.records.messages] == [USUAL, other]


def test_both_ways_complete_an_event_alike() -> None:
    bare = {"event": "signup", "user_id": "u"}
    usual, careful = (reader().batch(batch_of(bare, *more), NOW_MS) for more in ((), ({"event": 3},)))
    for taken in (usual, careful):
        message = msgspec.json.decode(taken.records.messages[0])
        assert len(message.pop("event_id")) == 36
        assert message == {**bare, "props": {}, "timestamp": "2025-11-26T12:00:00.005Z"}


def sizes(taken: Taken) -> tuple[int, list[str]]:
    return len(taken.places), [each.code for each in taken.rejected]


def test_an_event_is_as_large_as_it_was_sent() -> None:
    data = msgspec.json.encode(USUAL)
    padded = b"[" + data + b"," + data[:-1] + b" " * 500 + b"}]"
    assert sizes(reader(max_event_bytes=len(data) + 500).batch(padded, NOW_MS)) == (2, [])
    assert sizes(reader(max_event_bytes=len(data) + 499).batch(padded, NOW_MS)) == (1, ["event_too_large"])


def test_too_many_events_are_refused() -> None:
    assert sizes(reader(max_batch_events=2).batch(batch_of(USUAL, USUAL), NOW_MS)) == (2, [])
    with pytest.raises(RefusedError) as caught:
        reader(max_batch_events=2).batch(batch_of(USUAL, USUAL, USUAL), NOW_MS)
    assert caught.value.status == 413


def test_of_a_body_with_far_too_many_events_none_is_made() -> None:
    few, many = (b"[" + b",".join([msgspec.json.encode({"event": "e", "user_id": "u"})] * n) + b"]" for n in (80, 81))
    assert len(usual_events(few, 10) or ()) == 80
    assert usual_events(many, 10) is None

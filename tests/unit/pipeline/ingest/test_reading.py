"""From a body to records: the fast way for usual events has the result of the careful one, or leaves it to that."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidEventError, UnavailableError
from pipeline.ingest.admission import Admission
from pipeline.ingest.answers import RefusedError
from pipeline.ingest.batches import BatchReader, Unread
from pipeline.ingest.reading import EventReader, Taken
from pipeline.ingest.slices import TimeSlices
from pipeline.messages.events import Event, message_of, read_event, usual_event, usual_events
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
def test_the_fast_and_the_careful_reader_agree_on_an_event(fields: dict[str, Any]) -> None:
    data = json.dumps(fields).encode()
    found = usual_event(data)
    if found is not None:
        assert as_read(found) == as_read(carefully(data))


@given(st.lists(_fields, min_size=1, max_size=4), st.booleans())
def test_the_fast_and_the_careful_reader_agree_on_a_batch(events: list[dict[str, Any]], alone: bool) -> None:  # noqa: FBT001 - hypothesis fills it
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
def test_the_fast_reader_takes_most_events(fields: dict[str, Any]) -> None:
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
def test_the_fast_reader_takes_no_invalid_event(fields: dict[str, Any]) -> None:
    data = json.dumps({**USUAL, **fields}).encode()
    assert carefully(data) is None
    assert usual_event(data) is None
    assert usual_events(b"[" + data + b"]", 10) is None


def reader(**bounds: int) -> EventReader:
    return EventReader(Settings(api=Api(**bounds)))  # type: ignore[arg-type]  # all of those used are integers


def read(reading: EventReader, body: bytes) -> Taken:
    """Read a batch as the API does: all at once, or else one by one."""

    async def carefully_read() -> Taken:
        with TimeSlices(1.0).work() as work:
            return await reading.one_by_one(body, NOW_MS, Admission(1, 1 << 30, shared=False).open(""), work)

    return reading.batch(body, NOW_MS) or asyncio.run(carefully_read())


def batch_of(*events: object) -> bytes:
    return msgspec.json.encode({"events": events})


def test_a_batch_keeps_its_order_and_names_the_refused_events() -> None:
    other = {**USUAL, "event": "unheard_of", "user_id": "v"}
    taken = read(reader(), batch_of(USUAL, {"event": 3}, other))
    assert list(taken.places) == [0, 2]
    assert [each.index for each in taken.rejected] == [1]
    assert taken.records.topics == ["events_page_view", "events_generic"]
    assert taken.records.users == ["u", "v"]
    assert [msgspec.json.decode(each) for each in taken.records.messages] == [USUAL, other]


def test_both_ways_complete_an_event_alike() -> None:
    bare = {"event": "signup", "user_id": "u"}
    usual, careful = (read(reader(), batch_of(bare, *more)) for more in ((), ({"event": 3},)))
    for taken in (usual, careful):
        message = msgspec.json.decode(taken.records.messages[0])
        assert len(message.pop("event_id")) == 36
        assert message == {**bare, "props": {}, "timestamp": "2025-11-26T12:00:00.005Z"}


def sizes(taken: Taken) -> tuple[int, list[str]]:
    return len(taken.places), [each.code for each in taken.rejected]


def test_an_event_is_as_large_as_it_was_sent() -> None:
    data = msgspec.json.encode(USUAL)
    padded = b"[" + data + b"," + data[:-1] + b" " * 500 + b"}]"
    assert sizes(read(reader(max_event_bytes=len(data) + 500), padded)) == (2, [])
    assert sizes(read(reader(max_event_bytes=len(data) + 499), padded)) == (1, ["event_too_large"])


def test_too_many_events_are_refused() -> None:
    assert sizes(read(reader(max_batch_events=2), batch_of(USUAL, USUAL))) == (2, [])
    with pytest.raises(RefusedError) as caught:
        read(reader(max_batch_events=2), batch_of(USUAL, USUAL, USUAL))
    assert caught.value.status == 413


def test_of_a_body_with_far_too_many_events_none_is_made() -> None:
    few, many = (b"[" + b",".join([msgspec.json.encode({"event": "e", "user_id": "u"})] * n) + b"]" for n in (80, 81))
    assert len(usual_events(few, 10) or ()) == 80
    assert usual_events(many, 10) is None


GOOD = b'{"event":"signup","user_id":"u"}'


@pytest.mark.parametrize(
    ("bad", "code", "error"),
    [
        (b'{"event":"m","user_id":"\\ud83d"}', "invalid_event", "user_id: a lone surrogate"),
        (b'{"event":"m","user_id":"u","props":{"x":NaN}}', "invalid_event", "props.x: NaN"),
        (b'{"event":"m","user_id":"u","props":{"x":[-Infinity]}}', "invalid_event", "props.x.0: -Infinity"),
        (b'{"event":"m","user_id":"u","props":{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}}", "invalid_event", "props"),
        (b'{"event":"m","user_id":"u","props":{"x":' + b"1" * 5_000 + b"}}", "invalid_event", "props"),
        (b'{"event":"m","user_id":"u\xff"}', "invalid_json", "this is not JSON"),
        (b'{"event":"m","user_id":"u\n"}', "invalid_json", "this is not JSON"),
        (b'{"event":"m" "user_id":"u"}', "invalid_json", "this is not JSON"),
        (b"undefined", "invalid_json", "this is not JSON"),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("form", [b"[%b,%b,%b]", b'{"events":[%b,\n%b ,%b]}'])
def test_a_bad_event_is_refused_by_its_place_and_the_others_are_taken(
    bad: bytes, code: str, error: str, form: bytes
) -> None:
    taken = read(reader(), form % (GOOD, bad, GOOD))
    assert list(taken.places) == [0, 2]
    assert [(each.index, each.code) for each in taken.rejected] == [(1, code)]
    assert taken.rejected[0].error.startswith(error)


def test_a_body_whose_events_are_all_not_json_is_not_json() -> None:
    with pytest.raises(RefusedError) as caught:
        read(reader(), b"[event=a, event=b]")
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


def test_blanks_before_a_batch_do_not_matter() -> None:
    for blanks in (b" " * 64, b"\n" * 1_000, b" \t\r\n" * 100_000):
        assert sizes(read(reader(), blanks + b"[" + GOOD + b"]" + blanks)) == (1, [])
        assert sizes(read(reader(), blanks + b'{"events":[' + GOOD + b"]}" + blanks)) == (1, [])


def test_more_objects_than_there_is_room_for_are_refused_before_any_is_made() -> None:
    body = b"[" + GOOD[:-1] + b',"props":{"x":[' + b"{}," * 5_000_000 + b"{}]}}]"
    tracemalloc.start()
    with pytest.raises(RefusedError) as caught:
        read(reader(), body)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.status == 413
    assert peak_bytes < 1_000_000


def test_what_is_written_larger_than_it_was_sent_counts() -> None:
    body = b"[" + b",".join([GOOD[:-1] + b',"props":{"x":[' + b"1e15," * 10_000 + b"1]}}"] * 25) + b"]"
    admission = Admission(1_000, 2 * len(body), shared=False)
    reservation = admission.open("")
    reservation.exchange(0, len(body))

    async def careful() -> Taken:
        with TimeSlices(1.0).work() as work:
            return await reader().one_by_one(body, NOW_MS, reservation, work)

    with pytest.raises(UnavailableError):
        asyncio.run(careful())


def test_no_slice_of_a_large_body_is_long() -> None:
    """Counted, not timed: how often the loop has its turn."""
    body = b"[" + b",".join([GOOD[:-1] + b',"props":{"x":[' + b"{}," * 199 + b"1]}}"] * 1_000) + b"]"
    turns_of_the_loop = 0

    async def others() -> None:
        nonlocal turns_of_the_loop
        while True:
            turns_of_the_loop += 1
            await asyncio.sleep(0)

    async def both() -> float:
        other = asyncio.create_task(others())
        began = time.process_time()
        with TimeSlices(1.0).work() as work:
            await reader().one_by_one(body, NOW_MS, Admission(1, 1 << 30, shared=False).open(""), work)
        other.cancel()
        return time.process_time() - began

    cpu_s = asyncio.run(both())
    assert turns_of_the_loop > cpu_s / 0.05


_blanks = st.text(" \t\n\r", max_size=2)
_items = st.one_of(_values.map(json.dumps), st.sampled_from(['{"events":[]}', '"]"', '"\\\\"', "{", "1 2", ""]))
_heads = st.sampled_from(
    ["", '{"events":', '{ "events" :', '{"eventz":', '{"events":[],"events":', '{"events":{"events":']
)
_tails = st.sampled_from(["", "}", "]", "}}", ',"a":1}', "x"])


@given(_heads, st.lists(st.tuples(_blanks, _items, _blanks), max_size=5), _tails, _blanks)
def test_a_batch_is_split_at_once_as_it_is_by_the_scan(
    head: str, items: list[tuple[str, str, str]], tail: str, blanks: str
) -> None:
    body = f"{blanks}{head}{blanks}[{','.join(map(''.join, items))}]{blanks}{tail}{blanks}".encode()
    reader = BatchReader(4)
    assert _split(reader.split(body)) == _split(reader._scan(body))


def test_a_batch_with_one_unusual_event_is_split_at_once() -> None:
    items = [USUAL] * 999 + [{"event": 1}]
    assert BatchReader(1_000)._at_once(json.dumps({"events": items}).encode()) is not None
    assert BatchReader(1_000)._at_once(json.dumps(items).encode()) is not None


def _split(found: Iterator[Unread | None]) -> list[bytes] | str:
    try:
        return [bytes(each).strip() for each in found if each is not None]
    except RefusedError as error:
        return str(error)

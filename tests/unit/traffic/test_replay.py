"""Replay: files are checked line by line, and events are sent as the file has them."""

import json
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from traffic import identity, replay
from traffic.source import events_of
from traffic.spec import LoadSpec

MOMENT_MS = 1_764_158_400_123


def file_of(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(lines))
    return path


def line(number: int) -> str:
    props = {"url": f"/{number}"}
    return json.dumps({"event": "old", "user_id": number, "props": props, "timestamp": "2020-02-29T23:59:59Z"})


def test_an_event_keeps_what_the_file_says_and_gets_an_identity(tmp_path: Path) -> None:
    path = file_of(tmp_path, [line(each) for each in range(10)])
    events = replay.ReplayContent(replay.check(path), run=3, count=2)
    packed = identity.pack(3, 1, 2)
    assert events.event(1, 2, MOMENT_MS) == {
        "event": "old",
        "user_id": "5",
        "props": {"url": "/5", "tidemark": packed},
        "timestamp": "2020-02-29T23:59:59Z",
        "event_id": identity.event_id(MOMENT_MS, packed),
    }


def test_what_is_encoded_is_the_event(tmp_path: Path) -> None:
    path = file_of(tmp_path, [line(each) for each in range(10)])
    events = replay.ReplayContent(replay.check(path), run=3, count=1)
    encoded = events.encode_many(0, 4, 10, MOMENT_MS)
    assert [json.loads(each) for each in encoded] == [events.event(0, 4 + each, MOMENT_MS) for each in range(10)]


@pytest.mark.parametrize("count", [1, 3])
def test_all_processes_together_send_each_line_once_and_then_begin_anew(tmp_path: Path, count: int) -> None:
    # More lines than the index has entries for, with empty ones among them.
    path = file_of(tmp_path, [text for each in range(3000) for text in (line(each), *([""] if each % 7 == 0 else []))])
    events = [replay.ReplayContent(replay.check(path), run=0, count=count) for _ in range(count)]
    users = [
        int(events[stream].event(stream, sequence, MOMENT_MS)["user_id"])
        for sequence in range(3000 // count)
        for stream in range(count)
    ]
    assert users == list(range(3000))
    assert events[0].event(0, 3000 // count, MOMENT_MS)["user_id"] == "0"


def test_events_come_in_any_order(tmp_path: Path) -> None:
    path = file_of(tmp_path, [line(each) for each in range(5000)])
    events = replay.ReplayContent(replay.check(path), run=0, count=1)
    for sequence in (4999, 0, 1023, 1024, 4, 3500):
        assert events.event(0, sequence, MOMENT_MS)["user_id"] == str(sequence)


def test_an_event_without_a_timestamp_gets_its_intended_moment(tmp_path: Path) -> None:
    events = replay.ReplayContent(replay.check(file_of(tmp_path, ['{"event":"a","user_id":"b"}'])), run=0, count=1)
    event = events.event(0, 0, MOMENT_MS)
    assert event["timestamp"] == "2025-11-26T12:00:00.123Z"
    assert event["props"] == {"tidemark": 0}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("{", "no event"),
        ("[]", "no event"),
        ('{"user_id":"b"}', "`event`"),
        ('{"event":"","user_id":"b"}', "length >= 1"),
        ('{"event":"a"}', "`user_id`"),
        ('{"event":"a","user_id":null}', "user_id"),
        ('{"event":"a","user_id":"b","props":[]}', "props"),
        ('{"event":"a","user_id":"b","timestamp":"yesterday"}', "yesterday"),
        ('{"event":"a","user_id":"b","colour":"red"}', "colour"),
        ('{"event":"' + "a" * replay.MAX_LINE_BYTES + '","user_id":"b"}', "bytes"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, wrong: str, why: str) -> None:
    path = file_of(tmp_path, [line(0), "", line(1), wrong, line(2)])
    with pytest.raises(UsageError, match=r"events.ndjson, line 4: ") as caught:
        replay.check(path)
    assert why in str(caught.value)


def test_a_missing_or_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        replay.check(tmp_path / "nowhere.ndjson")
    with pytest.raises(UsageError, match="holds no events"):
        replay.check(file_of(tmp_path, ["", ""]))


def test_a_file_that_changed_is_an_error(tmp_path: Path) -> None:
    path = file_of(tmp_path, [line(each) for each in range(10)])
    spec = LoadSpec(scenario="replay", replay_path=str(path), replay_events=10)
    events = events_of(spec, 1)
    path.write_text(line(0))
    with pytest.raises(UsageError, match="holds 1 events and not 10"):
        events_of(spec, 1)
    fresh = events.event(0, 0, MOMENT_MS)
    assert fresh["user_id"] == "0"

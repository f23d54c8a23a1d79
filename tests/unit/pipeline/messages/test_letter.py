"""A dead letter carries its record, and fits into Kafka in the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.messages.groupnotes import Note, read_note
from pipeline.messages.letter import CUT, Letter, cut, letter_of, own_headers_of, texts_of
from pipeline.messages.origin import Origin, origin_of

HEADERS = (("trace", b"1"), ("reason", b"mine"), ("trace", b"2"), ("none", None), ("", b"\xff"))


def record(**changes: Any) -> Any:
    usual = {"topic": "events_signup", "partition": 2, "offset": 7, "timestamp": 1_592_000_000_000, "headers": HEADERS}
    return SimpleNamespace(**{**usual, "key": b"k", "value": b"v", **changes})


def test_headers_of_the_record_are_kept_beside_ours_in_their_order() -> None:
    letter = letter_of(record(), "refused", "why")
    assert own_headers_of(letter.headers) == HEADERS
    assert texts_of(letter.headers) == {
        "reason": "refused",
        "detail": "why",
        "topic": "events_signup",
        "partition": "2",
        "offset": "7",
        "timestamp": "1592000000000",
    }


def test_record_that_a_replay_sent_keeps_its_first_place() -> None:
    first = Origin("events_signup", 2, 7)
    replayed = record(partition=0, offset=99, headers=(*HEADERS, first.header()))
    assert origin_of(replayed) == first
    letter = letter_of(replayed, "refused", "again")
    assert (texts_of(letter.headers)["partition"], texts_of(letter.headers)["offset"]) == ("2", "7")
    assert own_headers_of(letter.headers) == HEADERS


BEYOND_KAFKA = (
    b"topic/2147483648/1",
    b"topic/1/9223372036854775808",
    b"topic/" + b"9" * 5_000 + b"/1",
    "topic/\u0661/1".encode(),
)


@pytest.mark.parametrize("value", [None, b"", b"topic", b"topic/x/1", b"topic/1", b"/1/2", b"\xff/1/-2", *BEYOND_KAFKA])
def test_an_origin_header_that_cannot_be_read_is_ignored(value: bytes | None) -> None:
    assert origin_of(record(headers=(("tidemark.origin", value),))) == Origin("events_signup", 2, 7)


def test_letter_that_is_too_large_is_cut_until_nothing_of_the_record_is_left() -> None:
    letter: Letter | None = letter_of(record(value=b"v" * 1_000_000, key=b"k" * 10), "refused", "why")
    sizes = []
    while letter is not None:
        sizes.append((len(letter.value or b""), len(own_headers_of(letter.headers)), len(letter.key or b"")))
        last, letter = letter, cut(letter)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == (0, 0, 0)
    assert len(sizes) < 30
    assert texts_of(last.headers)[CUT] == "1000000"


def test_note_beside_an_offset_reads_back() -> None:
    note = Note("0f", 15, 1, 16, 1_764_158_400_000)
    assert read_note(note.text()) == note


@pytest.mark.parametrize("text", [None, "", "by hand", "[]", '{"skipped":"many"}'])
def test_note_that_somebody_else_wrote_is_empty(text: str | None) -> None:
    assert read_note(text) == Note()

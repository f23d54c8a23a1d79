"""The layout of ``_id``: the vectors stand in docs/identifiers.md and are read from there."""

from __future__ import annotations

import os
import re
import time
import uuid
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.messages.identifiers import document_id, new_event_id, uuid7_document_id, uuid7_document_ids

DOCUMENT = Path(__file__).parents[4] / "docs" / "identifiers.md"
RUN, STREAM, SEQUENCE = st.integers(0, 2**14 - 1), st.integers(0, 2**12 - 1), st.integers(0, 2**36 - 1)
UNIX_MS = st.integers(0, 2**48 - 1)


class Vector(NamedTuple):
    event_id: str | None
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes
    expected: str


def vectors() -> list[Vector]:
    table = DOCUMENT.read_text(encoding="utf-8").split("## Test vectors")[1]
    found = []
    for line in table.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if re.fullmatch("[0-9a-f]{24}", cells[-1]):
            event_id, topic, partition, offset, timestamp_ms, value, expected = cells
            place = (topic, int(partition), int(offset), int(timestamp_ms), value.encode())
            found.append(Vector(event_id or None, *place, expected))
    return found


def id_of(
    event_id: str | None,
    *,
    topic: str = "events_generic",
    partition: int = 0,
    offset: int = 0,
    timestamp_ms: int = 0,
    value: bytes = b"{}",
) -> bytes:
    return document_id(
        event_id, topic=topic, partition=partition, offset=offset, timestamp_ms=timestamp_ms, value=value
    )


def uuid7(unix_ms: int, low_62_bits: int, rand_a: int = 0) -> str:
    return str(uuid.UUID(int=unix_ms << 80 | 7 << 76 | rand_a << 64 | 0b10 << 62 | low_62_bits))


def packed(run: int, stream: int, sequence: int) -> int:
    return run << 48 | stream << 36 | sequence


def test_document_has_a_vector_for_every_rule() -> None:
    rules = [(v.event_id is None, v.expected[8:9] in "89ab") for v in vectors()]
    assert len(rules) >= 18
    assert {without for without, _ in rules} == {True, False}


@pytest.mark.parametrize("vector", vectors(), ids=lambda v: v.expected)
def test_vector_of_the_document(vector: Vector) -> None:
    *message, expected = vector
    event_id, topic, partition, offset, timestamp_ms, value = message
    found = document_id(
        event_id, topic=topic, partition=partition, offset=offset, timestamp_ms=timestamp_ms, value=value
    )
    assert found.hex() == expected


@given(
    st.tuples(RUN, STREAM, SEQUENCE),
    st.tuples(RUN, STREAM, SEQUENCE),
    st.tuples(UNIX_MS, UNIX_MS),
    st.tuples(st.integers(0, 4095), st.integers(0, 4095)),
)
@example((1, 0, 0), (0, 2**12 - 1, 2**36 - 1), (0, 0), (0, 0))
@example((0, 1, 0), (0, 0, 2**36 - 1), (0, 0), (0, 0))
def test_distinct_run_stream_and_sequence_never_meet(
    one: tuple[int, int, int], other: tuple[int, int, int], unix_ms: tuple[int, int], rand_a: tuple[int, int]
) -> None:
    first = id_of(uuid7(unix_ms[0], packed(*one), rand_a[0]))
    second = id_of(uuid7(unix_ms[1], packed(*other), rand_a[1]))
    assert (first[4:] == second[4:]) == (one == other)
    assert int.from_bytes(first[4:], "big") == 0b10 << 62 | packed(*one)


@given(UNIX_MS, st.integers(0, 2**62 - 1))
def test_uuid7_in_either_case_gives_its_second_and_its_low_bits(unix_ms: int, low: int) -> None:
    text = uuid7(unix_ms, low)
    expected = ((unix_ms // 1000) % 2**32).to_bytes(4, "big") + uuid.UUID(text).bytes[8:]
    assert id_of(text) == id_of(text.upper()) == expected


@given(UNIX_MS, st.integers(0, 2**62 - 1), st.integers(0, 35), st.characters())
def test_text_that_is_no_uuid7_is_hashed_as_it_is(unix_ms: int, low: int, position: int, wrong: str) -> None:
    text = uuid7(unix_ms, low)
    changed = text[:position] + wrong + text[position + 1 :]
    if re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", changed, re.IGNORECASE):
        return
    assert id_of(changed)[4:] != uuid.UUID(text).bytes[8:]
    assert len(id_of(changed)) == 12


@pytest.mark.parametrize(
    "text",
    [
        "019ac001-fb7b-7abc-8123-456789ab--ef",
        "019ac001-fb7b-7abc-8123-456789ab  ef",
        " 19ac001-fb7b-7abc-8123-456789abcde ",
        "019ac001-fb7b-7abc-8123-456789abcd\u0664f",
        "{019ac001-fb7b-7abc-8123-456789abcde",
    ],
)
def test_near_miss_of_a_uuid7_is_hashed(text: str) -> None:
    assert id_of(text) == blake2b(text.encode(), digest_size=12).digest()


@pytest.mark.parametrize("text", ["\ud800", "x" * 100_000, "-" * 36, " " * 36, "\0"])
def test_any_text_gives_an_id(text: str) -> None:
    assert len(id_of(text)) == 12


@pytest.mark.parametrize(
    "change",
    [{"topic": "events_signup"}, {"partition": 1}, {"offset": 1}, {"timestamp_ms": 1}, {"value": b"{ }"}],
    ids=lambda change: next(iter(change)),
)
def test_without_event_id_every_part_of_the_origin_counts(change: dict[str, str]) -> None:
    assert id_of(None, **change) != id_of(None)  # type: ignore[arg-type]  # one keyword of several types


def test_with_event_id_the_origin_does_not_count() -> None:
    text = new_event_id()
    assert id_of(text, topic="a", partition=3, offset=9, timestamp_ms=5, value=b"x") == id_of(text)


def test_new_event_id_is_a_uuid7_of_this_moment() -> None:
    before = time.time_ns() // 1_000_000
    text = new_event_id()
    after = time.time_ns() // 1_000_000
    number = uuid.UUID(text)
    assert (number.version, number.variant) == (7, uuid.RFC_4122)
    assert before <= number.int >> 80 <= after
    assert id_of(text)[4:] == number.bytes[8:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system starts processes without a fork")
def test_processes_forked_from_one_parent_make_ids_of_their_own() -> None:
    new_event_id()  # the generator has its state before the forks
    made = [_made_in_a_fork(200) for _ in range(4)]
    low_halves = {text[19:] for texts in made for text in texts}
    assert len(low_halves) == 4 * 200


def _made_in_a_fork(number: int) -> list[str]:
    into, out = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(out, " ".join(new_event_id() for _ in range(number)).encode())
        finally:
            os._exit(0)
    os.close(out)
    with os.fdopen(into) as file:
        texts = file.read().split()
    os.waitpid(child, 0)
    return texts


def test_new_event_ids_differ() -> None:
    assert len({new_event_id() for _ in range(10_000)}) == 10_000


NEARLY_UUIDS = st.sampled_from(
    [
        "019ac0a1-c18d-7000-8001-000000000000",
        "019AC0A1-C18D-7FFF-BFFF-0123456789AB",
        "019ac0a1-c18d-4000-8001-000000000000",
        "019ac0a1-c18d-7000-7001-000000000000",
        "019ac0a1-c18d-7000-8001-00000000000g",
        "019ac0a1-c18d-7000-8001-0000000000  ",
        "019ac0a1-c18d-7000-8001--0000000000-",
        "019ac0a1-c18d-7000-8001-00000000000\u0660",
        "019ac0a1-c18d-7000-8001-00000000000",
        "019ac0a1-c18d-7000-8001-0000000000000",
        "",
    ]
)


@given(st.lists(NEARLY_UUIDS, min_size=1, max_size=4) | st.lists(st.builds(new_event_id), min_size=1, max_size=4))
def test_ids_read_together_are_what_they_are_alone(event_ids: list[str]) -> None:
    alone = [uuid7_document_id(each) for each in event_ids]
    assert uuid7_document_ids(event_ids) == (None if None in alone else alone)

"""Bodies that were compressed, and batches that are split: within their bounds, whatever is in them."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UnavailableError
from pipeline.ingest import bodies, protocol
from pipeline.ingest.admission import Admission, Reservation
from pipeline.ingest.answers import JSONAnswer, RefusedError, header_text
from pipeline.ingest.batches import BatchReader
from pipeline.ingest.slices import TimeSlices


def gunzip(data: bytes, max_bytes: int, reservation: Reservation | None = None) -> bytes:
    async def all_of_it() -> bytes:
        with TimeSlices(1.0).work() as work:
            return await bodies.gunzip(
                data, max_bytes, reservation or Admission(1, 1 << 30, shared=False).open(""), work
            )

    return asyncio.run(all_of_it())


def split(body: bytes, max_events: int) -> list[bytes]:
    return [bytes(each) for each in BatchReader(max_events).split(body) if each is not None]


def test_gzip_of_several_members_is_one_body() -> None:
    assert gunzip(gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two"), 7) == b"one two"


@pytest.mark.parametrize("members", [1, 3])
def test_no_more_comes_out_than_the_bound(members: int) -> None:
    data = gzip.compress(b"x" * 1_000) * members
    assert len(gunzip(data, 1_000 * members)) == 1_000 * members
    with pytest.raises(RefusedError) as caught:
        gunzip(data, 1_000 * members - 1)
    assert caught.value.status == 413


def test_a_bomb_is_not_even_held_in_memory() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    with pytest.raises(RefusedError):
        gunzip(bomb, 100_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2_000_000


@pytest.mark.parametrize("cut", [1, 8, 12])
def test_gzip_that_is_cut_off_or_damaged_is_refused(cut: int) -> None:
    whole = gzip.compress(b'{"event":"a"}')
    for data in (whole[:-cut], b"\0" + whole, whole + b"trailing", zlib.compress(b"{}")):
        with pytest.raises(RefusedError) as caught:
            gunzip(data, 1_000)
        assert (caught.value.status, caught.value.code) == (400, "invalid_gzip")


@pytest.mark.parametrize("body", [b'[1,{"a":[2]},"x"]', b' \n{"events": [1, {"a":[2]}, "x"] }'])
def test_a_batch_is_split_into_its_events_unread(body: bytes) -> None:
    assert split(body, 3) == [b"1", b'{"a":[2]}', b'"x"']


@pytest.mark.parametrize(
    "event",
    [
        b'{"a":"]}[{,\\"}"}',
        b'"' + b"x" * 200_000 + b'\\",]"',
        b'"' + b'\\"' * 100_000 + b'"',
        b"[" * 5_000 + b"]" * 5_000,
        b"NaN",
        b'{"a":nul',
        b'"\xff"',
    ],
    ids=range(7),
)
def test_whatever_is_in_an_event_it_ends_where_it_ends(event: bytes) -> None:
    if event.startswith(b'{"a":nul'):
        event += b"}"
    assert [each.strip() for each in split(b" [1 ," + event + b",\n3]", 3)] == [b"1", event, b"3"]


@given(st.lists(st.recursive(st.none() | st.text() | st.integers(), st.lists), min_size=1))
def test_events_are_split_as_a_decoder_would(events: list[object]) -> None:
    for body in (json.dumps(events), json.dumps({"events": events})):
        assert [json.loads(each) for each in split(body.encode(), len(events))] == events


def test_gzip_of_very_many_members_is_refused() -> None:
    member = gzip.compress(b"")
    assert gunzip(member * 1_024, 10) == b""
    with pytest.raises(RefusedError) as caught:
        gunzip(member * 1_025, 10)
    assert (caught.value.status, caught.value.code) == (400, "invalid_gzip")


def test_what_comes_out_of_gzip_counts_while_it_comes() -> None:
    admission = Admission(1, 1_000_000, shared=False)
    reservation = admission.open("")
    with pytest.raises(UnavailableError):
        gunzip(gzip.compress(b" " * 5_000_000), 5_000_000, reservation)
    assert 500_000 < admission.size_bytes <= 1_000_000


def test_a_million_elements_make_no_more_events_than_are_allowed() -> None:
    body = b"[" + b"1," * 1_000_000 + b"1]"
    tracemalloc.start()
    with pytest.raises(RefusedError) as caught:
        split(body, 100)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (caught.value.status, caught.value.code) == (413, "too_many_events")
    assert peak_bytes < 1_000_000


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "invalid_batch"),
        (b"{}", "invalid_batch"),
        (b'{"events":null}', "invalid_batch"),
        (b'{"events":[1],"more":1}', "invalid_batch"),
        (b"3", "invalid_batch"),
        (b'{"more":[1]}', "invalid_batch"),
        (b"[" * 100_000, "invalid_json"),
        (b"[1,]", "invalid_json"),
        (b"[,1]", "invalid_json"),
        (b"[1}", "invalid_json"),
        (b'{"events":[1]]', "invalid_json"),
        (b'{"events":[1]', "invalid_json"),
        (b'["1', "invalid_json"),
        (b"[1", "invalid_json"),
        (b"[1]]", "invalid_json"),
        (b"", "invalid_json"),
        (b"\xff", "invalid_json"),
    ],
)
def test_a_body_that_is_not_a_batch_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        split(body, 10)
    assert (caught.value.status, caught.value.code) == (400, code)


@given(st.text(min_size=1))
def test_no_text_of_a_client_can_end_a_header(text: str) -> None:
    written = header_text(text)
    assert written.isascii()
    assert written.isprintable()
    assert " " not in written


def test_a_header_that_would_end_early_is_cleaned() -> None:
    answer = JSONAnswer(b"{}", 200, {"vary": "origin", "access-control-allow-origin": "http://a\nset-cookie: x"})
    sent = dict(answer.processed_headers)
    assert sent[b"access-control-allow-origin"] == b"http://aset-cookie: x"
    assert sent[b"content-type"] == b"application/json"
    assert dict(JSONAnswer(b"{}", 200, {"vary": "origin"}).processed_headers) == {
        b"content-type": b"application/json",
        b"vary": b"origin",
    }


def test_an_ordinary_id_is_written_unchanged() -> None:
    assert header_text("01932f2e-9d3b-7c41-a2b8-1f6d0c9e4b57") == "01932f2e-9d3b-7c41-a2b8-1f6d0c9e4b57"
    assert header_text("order:7/a+b") == "order:7/a+b"


def test_the_refusal_of_a_connection_is_whole_http() -> None:
    head, _, body = protocol.FULL.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert f"content-length: {len(body)}".encode() in head
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 1 <= protocol.max_connections() < allowed

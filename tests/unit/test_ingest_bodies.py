"""Bodies that were compressed, and batches that are split: within their bounds, whatever is in them."""

from __future__ import annotations

import gzip
import resource
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest import protocol
from pipeline.ingest.answers import Answer, RefusedError, header_text
from pipeline.ingest.batches import BatchReader
from pipeline.ingest.bodies import gunzip


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
    assert [bytes(each) for each in BatchReader(3).split(body)] == [b"1", b'{"a":[2]}', b'"x"']


def test_a_million_elements_make_no_more_events_than_are_allowed() -> None:
    body = b"[" + b"1," * 1_000_000 + b"1]"
    reader = BatchReader(100)
    tracemalloc.start()
    with pytest.raises(RefusedError) as caught:
        reader.split(body)
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
        (b"[" * 100_000, "invalid_batch"),
        (b"[1", "invalid_json"),
        (b"[1]]", "invalid_json"),
        (b"", "invalid_json"),
        (b"\xff", "invalid_json"),
    ],
)
def test_what_is_no_batch_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        BatchReader(10).split(body)
    assert (caught.value.status, caught.value.code) == (400, code)


@given(st.text(min_size=1))
def test_no_text_of_a_client_can_end_a_header(text: str) -> None:
    written = header_text(text)
    assert written.isascii()
    assert written.isprintable()
    assert " " not in written


def test_a_header_that_would_end_early_is_cleaned() -> None:
    answer = Answer(b"{}", 200, {"vary": "origin", "access-control-allow-origin": "http://a\nset-cookie: x"})
    sent = dict(answer.processed_headers)
    assert sent[b"access-control-allow-origin"] == b"http://aset-cookie: x"
    assert sent[b"content-type"] == b"application/json"
    assert dict(Answer(b"{}", 200, {"vary": "origin"}).processed_headers) == {
        b"content-type": b"application/json",
        b"vary": b"origin",
    }


def test_an_id_as_most_are_is_written_as_it_is() -> None:
    assert header_text("01932f2e-9d3b-7c41-a2b8-1f6d0c9e4b57") == "01932f2e-9d3b-7c41-a2b8-1f6d0c9e4b57"
    assert header_text("order:7/a+b") == "order:7/a+b"


def test_the_refusal_of_a_connection_is_whole_http() -> None:
    head, _, body = protocol.FULL.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert f"content-length: {len(body)}".encode() in head
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 1 <= protocol.max_connections() < allowed

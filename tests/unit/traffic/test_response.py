"""Reading answers: in any pieces, of any form that HTTP/1.1 allows; rubbish is no answer."""

from __future__ import annotations

import pytest

from traffic import response
from traffic.response import Response, ResponseError, ResponseReader

BODY = b'{"status":"ok","accepted":2,"rejected":[]}'
WITH_LENGTH = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7;note=x\r\n%b\r\n%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (BODY[:7], len(BODY) - 7, BODY[7:])
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + WITH_LENGTH
WHOLE = Response(200, BODY, keeps_alive=True)


@pytest.mark.parametrize("answer", [WITH_LENGTH, CHUNKED, CONTINUED])
@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 50, 1000])
def test_an_answer_is_whole_with_its_last_byte_in_whatever_pieces_it_comes(answer: bytes, piece_bytes: int) -> None:
    reader = ResponseReader()
    for _ in range(3):  # one connection, one answer after the other
        pieces = [answer[at : at + piece_bytes] for at in range(0, len(answer), piece_bytes)]
        assert [reader.feed(piece) for piece in pieces] == [None] * (len(pieces) - 1) + [WHOLE]


@pytest.mark.parametrize(
    ("answer", "response"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Response(204, b"", keeps_alive=True)),
        (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", Response(503, b"", keeps_alive=True)),
        (
            b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
            Response(413, b"no", keeps_alive=False),
        ),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Response(200, b"ok", keeps_alive=False)),
    ],
)
def test_an_answer_says_whether_the_connection_may_be_used_again(answer: bytes, response: Response) -> None:
    assert ResponseReader().feed(answer) == response


@pytest.mark.parametrize("excess", [WITH_LENGTH, b"HTTP/1.1 ", b"rubbish", b"\x00"])
def test_what_comes_behind_an_answer_ends_the_connection_but_not_the_answer(excess: bytes) -> None:
    assert ResponseReader().feed(WITH_LENGTH + excess) == WHOLE._replace(keeps_alive=False)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"<html></html>",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_bytes_that_are_not_http_are_no_answer(rubbish: bytes) -> None:
    with pytest.raises(ResponseError, match="no HTTP"):
        ResponseReader().feed(rubbish)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\npart ") is None
    assert reader.feed(b"by part") is None
    assert reader.end() == Response(200, b"part by part", keeps_alive=False)


@pytest.mark.parametrize(
    "cut", [b"", b"HTTP/1.1 200 OK\r\nX: ", WITH_LENGTH[:-1], CHUNKED[:-1], b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_an_answer_that_was_cut_off_is_none(cut: bytes) -> None:
    reader = ResponseReader()
    assert reader.feed(cut) is None
    with pytest.raises(ResponseError, match="before the answer's end"):
        reader.end()


def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "MAX_RESPONSE_BYTES", 1_000)
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 900) is None
    with pytest.raises(ResponseError, match="more than 1000 bytes"):
        reader.feed(b"x" * 100)

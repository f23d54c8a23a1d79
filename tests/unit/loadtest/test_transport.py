"""The connections of one process against a real socket on which a small server says what the test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import pytest

from loadtest._transport import Transport
from pipeline.errors import UsageError
from traffic.answer import Answer
from traffic.payload import BATCH_PATH, JSON_HEADERS, SINGLE_PATH, Payload

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + b'{"status":"ok"}'
ONE = Payload(SINGLE_PATH, JSON_HEADERS, b'{"event":"a"}', SINGLE_PATH)
LARGE = Payload(BATCH_PATH, JSON_HEADERS, b"x" * (8 << 20), BATCH_PATH)  # more than a socket takes at once


def requests_on(connection: socket.socket) -> Iterator[bytes]:
    """Read request after request, each as its head and body."""
    stream = connection.makefile("rb")
    while line := stream.readline():
        head = line
        while line.strip():
            line = stream.readline()
            head += line
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        yield head + stream.read(length)


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Return the URL of a server that plays ``serve`` on each connection, one after the other, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    with connection:
                        serve(connection)
                except OSError:  # the client, or the test, has ended
                    if listening.fileno() < 0:
                        return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        gevent.sleep(0.01)  # it closes sockets in its loop
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=10)


def test_one_request_after_the_other_goes_over_one_connection() -> None:
    connections: list[list[bytes]] = []

    def serve(connection: socket.socket) -> None:
        connections.append([])
        for request in requests_on(connection):
            connections[-1].append(request)
            for byte in OK:  # the answer comes byte by byte
                connection.sendall(bytes([byte]))

    with server(serve) as url:
        transport = Transport(f"{url}/base/", 10.0, "key")
        answers = [transport.send(ONE), transport.send(LARGE), transport.send(ONE)]
        transport.close()
    assert answers == [Answer(200, 15)] * 3
    ((first, second, _),) = connections
    head, body = first.split(b"\r\n", 1)[0], first.split(b"\r\n")[-1]
    assert head == b"POST /base/track HTTP/1.1"
    assert {b"Content-Type: application/json", b"X-Write-Key: key", b"Host: " + url[7:].encode()} <= set(
        first.split(b"\r\n")
    )
    assert (body, len(second)) > (ONE.body[:-1], len(LARGE.body))


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    served = 0

    def serve(connection: socket.socket) -> None:
        nonlocal served
        next(requests_on(connection))
        served += 1
        connection.sendall(OK)

    with server(serve) as url:
        transport = Transport(url, 10.0)
        for expected in range(1, 4):
            assert transport.send(ONE).status == 200
            assert served == expected
            gevent.sleep(0.05)


@pytest.mark.parametrize("said", [b"", OK[:-1], b"rubbish\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_what_is_no_whole_answer_leaves_the_request_in_doubt_and_it_is_not_sent_again(said: bytes) -> None:
    served = 0

    def serve(connection: socket.socket) -> None:
        nonlocal served
        next(requests_on(connection))
        served += 1
        connection.sendall(said)

    with server(serve) as url:
        answer = Transport(url, 10.0).send(ONE)
        gevent.sleep(0.05)
    assert (answer.status, answer.error) == (0, "no answer: ResponseError")
    assert served == 1


def test_a_server_that_answers_before_it_has_read_all_is_heard() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"

    def serve(connection: socket.socket) -> None:
        connection.recv(1_000)
        connection.sendall(refusal)
        gone.wait(10)

    gone = threading.Event()
    with server(serve) as url:
        assert Transport(url, 10.0).send(LARGE) == Answer(413, 2)
        gone.set()


@pytest.mark.parametrize("payload", [ONE, LARGE])
@pytest.mark.parametrize("drips", [False, True])
def test_the_time_out_is_for_the_request_as_a_whole(payload: Payload, *, drips: bool) -> None:
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" if drips else b"")
        while not over.wait(0.05):
            connection.sendall(b"X: y\r\n" if drips else b"")

    with server(serve) as url:
        transport = Transport(url, 0.3)
        answer = transport.send(payload)
        over.set()
        transport.close()
    assert answer == Answer(0, error="no answer within 0.3 s")


def test_many_at_once_get_each_its_own_answer() -> None:
    def serve(connection: socket.socket) -> None:
        threading.Thread(target=echo, args=(connection.dup(),), daemon=True).start()

    def echo(connection: socket.socket) -> None:
        with connection:
            for request in requests_on(connection):
                status = 200 + int(request.split(b"\r\n")[-1])
                connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

    def send(number: int) -> int:
        return transport.send(Payload(SINGLE_PATH, (), b"%d" % number, SINGLE_PATH)).status

    with server(serve) as url:
        transport = Transport(url, 10.0)
        for _ in range(5):
            senders = [gevent.spawn(send, number) for number in range(50)]
            gevent.joinall(senders)
            assert [sender.value for sender in senders] == list(range(200, 250))
        transport.close()


def test_a_host_where_nobody_listens_is_an_answer_with_status_0() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    assert Transport(url, 10.0).send(ONE) == Answer(0, error="no answer: ConnectionRefusedError")


@pytest.mark.parametrize(
    "host",
    [
        *("localhost:8000", "ftp://localhost", "http://", "http://a:b", "http://a b", "http://[1", "", " http://a"),
        *("http://a:0", "http://a:99999", "http://a/?b=1", "http://a/#b", "//a", "http:/a", "http://schlüssel"),
    ],
)
def test_a_host_that_is_no_url_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="--host"):
        Transport(host, 1.0)


def test_a_host_with_a_password_is_refused_and_the_password_not_printed() -> None:
    with pytest.raises(UsageError, match="--host") as error:
        Transport("http://user:geheim@localhost:8000", 1.0)
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize("host", ["http://localhost:8000", "HTTPS://a.example/base/", "http://[::1]:8000"])
def test_a_url_of_a_server_is_taken(host: str) -> None:
    Transport(host, 1.0)


def test_a_write_key_that_no_header_takes_is_refused_and_not_printed() -> None:
    with pytest.raises(UsageError, match="--write-key") as error:
        Transport("http://localhost", 1.0, "secret\r\nX: y")
    assert "secret" not in str(error.value)

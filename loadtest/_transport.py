"""HTTP as the generator needs it: one POST, one answer or none, and never the same POST twice.

Nothing is followed and nothing is sent again: a connection that the server has closed while it was idle is
seen before it is used, and whatever goes wrong after the first byte leaves the request in doubt.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

import gevent

from loadtest._connection import Address, Connection, tls_context
from pipeline.errors import SettingError, UsageError
from traffic.answer import Answer, answer_of
from traffic.payload import BATCH_PATH, Headers, Payload
from traffic.response import Response, ResponseError

MAX_CONNECTIONS = 512  # as many as there can be senders
_URL = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADS_KEPT = 64


class Transport:
    """The connections of one process to one server; the one used last is used next."""

    def __init__(self, host: str, timeout_s: float, write_key: str = "") -> None:
        """``host`` is a URL such as ``http://localhost:8000``, ``timeout_s`` bounds one request as a whole.

        Raises:
            UsageError: ``host`` is no such URL, or ``write_key`` cannot be a header.
        """
        check(host, write_key)
        self._address, authority, prefix = _target(host)
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []
        self._is_closed = False
        key = f"X-Write-Key: {write_key}\r\n" if write_key else ""

        @lru_cache(_HEADS_KEPT)
        def head(path: str, headers: Headers) -> bytes:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            first = f"POST {prefix}{path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: tidemark\r\n"
            return f"{first}{key}{lines}Content-Length: ".encode("ascii")

        self._head = head

    def send(self, payload: Payload) -> Answer:
        """Send one request and wait for its answer."""
        body = payload.body
        request = b"%b%d\r\n\r\n%b" % (self._head(payload.path, payload.headers), len(body), body)
        try:
            with gevent.Timeout(self._timeout_s):
                response = self._exchange(request)
        except gevent.Timeout:
            return Answer(status=0, error=f"no answer within {self._timeout_s:g} s")
        except (OSError, ResponseError) as error:
            return Answer(status=0, error=f"no answer: {type(error).__name__}")
        return answer_of(response.status, response.body, batch=payload.path == BATCH_PATH)

    def close(self) -> None:
        """Close idle connections now, the others when their answer is there."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _exchange(self, request: bytes) -> Response:
        connection = self._connection()
        keeps_alive = False
        try:
            response = connection.exchange(request)
            keeps_alive = response.keeps_alive
        finally:
            if keeps_alive and not self._is_closed:
                self._idle.append(connection)
            else:
                connection.close()
        return response

    def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return Connection(self._address)


def check(host: str, write_key: str = "") -> None:
    """Refuse a host or a write key that no request could be sent with.

    Raises:
        UsageError: ``host`` is no URL of a server, or ``write_key`` cannot be a header.
    """
    if not _HEADER_VALUE.fullmatch(write_key):
        raise SettingError(
            "--write-key", "...", "a header holds only ASCII letters, digits and punctuation; use a key of these"
        )
    _target(host)


def _target(host: str) -> tuple[Address, str, str]:
    """Where ``host`` is, what the Host header calls it, and what its paths begin with."""
    try:
        url = urlsplit(host)
        port = url.port
    except ValueError as error:
        raise _not_a_url(host) from error
    if not _URL.fullmatch(host) or not url.hostname or port == 0:
        raise _not_a_url(host)
    if url.username is not None or url.query or url.fragment:
        remedy = "a user, a query or a fragment is never sent; write only scheme, host, port and path"
        raise SettingError("--host", _without_user(host), remedy)
    context = tls_context() if url.scheme == "https" else None
    address = Address(url.hostname, port or _DEFAULT_PORTS[url.scheme], context)
    name = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return address, f"{name}:{port}" if port else name, url.path.rstrip("/")


def _not_a_url(host: str) -> SettingError:
    remedy = "write a URL such as http://localhost:8000"
    if not _SCHEME.match(host):
        try:
            _target(f"http://{host}")
        except UsageError:
            pass
        else:
            remedy = f"it does not begin with http:// or https://; write http://{host}"
    return SettingError("--host", _without_user(host), remedy)


def _without_user(host: str) -> str:
    """``host`` without a user and password, for printing."""
    return re.sub(r"[^/@]*@", "...@", host)

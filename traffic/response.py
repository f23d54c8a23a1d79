"""The answers that come in on one connection, read from whatever pieces they arrive in.

The reading itself is llhttp's, in httptools: strict, and with all that HTTP/1.1 allows an answer to be.
"""

from __future__ import annotations

from typing import NamedTuple

from httptools import HttpParserError, HttpResponseParser

MAX_RESPONSE_BYTES = 16 << 20
_LENGTH_HEADERS = frozenset((b"content-length", b"transfer-encoding"))
_OK = 200


class ResponseError(Exception):
    """What came is no answer: it is no HTTP, too long, or was cut off."""


class Response(NamedTuple):
    """One whole answer; ``keeps_alive``: the connection may be used for another request."""

    status: int
    body: bytes
    keeps_alive: bool


class ResponseReader:
    """Reads one answer after the other. Behind one that brings more than itself nothing can be asked for."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._body: list[bytes] = []
        self._size = 0
        self._whole: Response | None = None
        self._has_headers = False
        self._has_length = False
        self._has_excess = False

    def feed(self, data: bytes) -> Response | None:
        """Take what has arrived; return the answer as soon as it is whole.

        Raises:
            ResponseError: it is none, or longer than ``MAX_RESPONSE_BYTES``.
        """
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if self._whole is None:
                raise ResponseError(f"an answer that is no HTTP ({error})") from error
            self._has_excess = True
        if self._whole is None and self._size > MAX_RESPONSE_BYTES:
            raise ResponseError(f"an answer of more than {MAX_RESPONSE_BYTES} bytes")
        return self._taken()

    def end(self) -> Response:
        """Take it that the server has closed the connection: that is how an answer without a length ends.

        Raises:
            ResponseError: there is none, or it was to be longer.
        """
        if not self._has_headers or self._has_length:
            raise ResponseError("the connection was closed before the answer's end")
        return Response(self._parser.get_status_code(), b"".join(self._body), keeps_alive=False)

    def _taken(self) -> Response | None:
        whole, self._whole = self._whole, None
        if whole is None:
            return None
        self._size = 0
        return whole._replace(keeps_alive=False) if self._has_excess else whole

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        """Begin an answer."""
        self._has_excess = self._whole is not None
        self._has_headers = self._has_length = False
        if self._body:
            self._body = []

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002 - the parser passes both
        """Note whether the answer has its own end."""
        if name.lower() in _LENGTH_HEADERS:
            self._has_length = True

    def on_headers_complete(self) -> None:
        """Note that the status is known for good, unless it says that the answer is still to come."""
        self._has_headers = self._parser.get_status_code() >= _OK

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it only announces the one that counts (1xx)."""
        status = self._parser.get_status_code()
        if status >= _OK and self._whole is None:
            self._whole = Response(status, b"".join(self._body), self._parser.should_keep_alive())

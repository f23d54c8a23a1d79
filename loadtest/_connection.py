"""One connection to the server: sends a request, waits for its answer, and knows when the server has gone.

It waits for the socket with one watcher that lives as long as the connection, and in gevent's loop reads what
arrives; the greenlet that sent wakes only for a whole answer. gevent's own blocking calls would start and stop
a watcher for each wait.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple

from gevent import get_hub, socket
from gevent import ssl as gevent_ssl
from gevent.hub import Waiter

from traffic.response import Response, ResponseError, ResponseReader

_READ, _WRITE = 1, 2  # libev's
_RECEIVE_BYTES = 1 << 16
_NOT_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Address(NamedTuple):
    """Where a server listens; ``context`` is that of TLS, None without."""

    host: str
    port: int
    context: ssl.SSLContext | None = None


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts what this system trusts."""
    context: ssl.SSLContext = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


class Connection:
    """A connection that is open when it is made. One request at a time; after any exception it is to be closed."""

    def __init__(self, address: Address) -> None:
        """Connect; raises OSError where that is not possible. Other greenlets run meanwhile."""
        self._socket = socket.create_connection((address.host, address.port))
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.context is not None:
                self._socket = address.context.wrap_socket(self._socket, server_hostname=address.host)
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise
        self._is_tls = address.context is not None
        self._reader = ResponseReader()
        self._response: Response | None = None
        self._error: Exception | None = None
        self._waiter: Waiter | None = None
        self._is_busy = False
        self._readable = get_hub().loop.io(self._socket.fileno(), _READ)
        self._readable.start(self._on_readable)

    def exchange(self, request: bytes) -> Response:
        """Send ``request`` and return its answer.

        Raises:
            OSError, ResponseError: there was none.
        """
        self._response = self._error = None
        self._is_busy = True
        self._send(request)
        while self._response is None:
            if self._error is not None:
                raise self._error
            self._wait()
        self._is_busy = False
        return self._response

    def is_usable(self) -> bool:
        """Look whether the server has closed the idle connection, or sent what nobody asked for."""
        self._receive()
        return self._error is None

    def close(self) -> None:
        """Close it; a second time does nothing."""
        self._error = self._error or ResponseError("closed")
        self._readable.stop()
        self._readable.close()
        self._socket.close()

    def _send(self, request: bytes) -> None:
        sent = self._send_some(request)
        if sent == len(request):
            return
        rest = memoryview(request)[sent:]
        writable = get_hub().loop.io(self._socket.fileno(), _WRITE)
        writable.start(self._wake)
        try:
            # A server may answer, and close, before it has read all.
            while rest and self._response is None and self._error is None:
                self._wait()
                rest = rest[self._send_some(rest) :]
        finally:
            writable.stop()
            writable.close()
        if rest and self._response is not None:
            self._response = self._response._replace(keeps_alive=False)

    def _send_some(self, data: bytes | memoryview) -> int:
        try:
            sent: int = self._socket.send(data)
        except _NOT_YET:
            return 0
        except OSError as error:
            self._receive()  # the answer that says why may be there
            if self._response is None:
                raise self._error or error from None
            return 0
        return sent

    def _wait(self) -> None:
        """Let other greenlets run until something has happened here."""
        waiter = self._waiter = Waiter()
        try:
            waiter.get()
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.switch(None)

    def _on_readable(self) -> None:
        """Read in gevent's loop, where no exception may leave."""
        self._receive()
        self._wake()

    def _receive(self) -> None:
        """Read what is there; the answer, or what is wrong, is known afterwards."""
        if self._error is not None:
            return
        try:
            self._take(self._socket.recv(_RECEIVE_BYTES))
            while self._is_tls and self._error is None and self._socket.pending():
                self._take(self._socket.recv(_RECEIVE_BYTES))
        except _NOT_YET:
            return
        except (OSError, ResponseError) as error:
            self._give_up(error)

    def _take(self, data: bytes) -> None:
        if not self._is_busy or self._response is not None:
            raise ResponseError("closed" if not data else "bytes that answer no request")
        self._response = self._reader.feed(data) if data else self._reader.end()

    def _give_up(self, error: Exception) -> None:
        self._error = error
        self._readable.stop()  # of a closed connection it would call without end

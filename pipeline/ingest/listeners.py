"""The sockets that the API listens on: one, or one for each process where the kernel spreads connections."""

from __future__ import annotations

import errno
import socket
import sys

from pipeline.addresses import place
from pipeline.errors import SettingError
from pipeline.settings import Api

BACKLOG = 1024
"""Connections that the kernel keeps for a process that does not take them yet; one more has to try again in 1 s."""


def listen(api: Api) -> list[socket.socket]:
    """Return ``api.processes`` listening sockets of the same address.

    On Linux each is a queue of its own (SO_REUSEPORT), so that the connections spread evenly, and a
    queue outlives the process that served it. Elsewhere all of them are the same one.

    Raises:
        SettingError: the address is taken, or not one of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(api.host, api.port, type=socket.SOCK_STREAM)[0]
        first = _bind(family, address, reuse_port=False)
        if api.processes == 1 or sys.platform != "linux":
            first.listen(BACKLOG)
            return [first] * api.processes
        # Only now that nobody else has the port: with SO_REUSEPORT a second API would share it unasked.
        address = first.getsockname()
        first.close()
        listeners = [_bind(family, address, reuse_port=True) for _ in range(api.processes)]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = f"another program listens on {place(api.host, api.port)}; end it, or set another port"
            raise SettingError("PIPELINE_API_PORT", api.port, remedy) from error
        remedy = f"cannot listen on {place(api.host, api.port)} ({error.strerror}); name an address of this machine"
        raise SettingError("PIPELINE_API_HOST", api.host, remedy) from error
    for listener in listeners:
        listener.listen(BACKLOG)
    return listeners


def url(listener: socket.socket) -> str:
    """Return the address of ``listener`` as a URL."""
    host, port = listener.getsockname()[:2]
    return "http://" + place(host, port)


def _bind(family: socket.AddressFamily | int, address: tuple[object, ...], *, reuse_port: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener

"""Ports of this machine: free ones, and a clear word where one is taken."""

from __future__ import annotations

import errno
import random
import socket

from pipeline.errors import UsageError

HOST = "127.0.0.1"
# Below the ranges from which Linux and macOS take the ports of outgoing connections: while a server
# is down between a kill and its restart, no client's connection can have taken its port.
_RANGE = range(20_000, 32_000)
_ATTEMPTS = 200


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on.

    Raises:
        UsageError: none was found in some hundred attempts.
    """
    # Several stacks may start at once on one machine: each begins somewhere else.
    for port in random.SystemRandom().sample(_RANGE, _ATTEMPTS):
        if is_free(port):
            return port
    raise UsageError(f"no free port between {_RANGE.start} and {_RANGE.stop} on {HOST}: end what listens there")


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen on ``port`` of ``host`` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def claim(port: int, what: str, remedy: str, host: str = HOST) -> int:
    """Return ``port`` if it is free, or a free one for 0.

    Raises:
        UsageError: ``port`` is taken, or not ours to use; names it, ``what`` needs it, and ``remedy``.
    """
    if not port:
        return free_port()
    if not is_free(port, host):
        raise UsageError(f"port {port} for {what} is taken by another program: end that one, or {remedy}")
    return port


class Claims:
    """Ports for several servers that start together: none is given twice."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def claim(self, port: int, what: str, remedy: str) -> int:
        """Return ``port`` if it is free, or a free one for 0, as :func:`claim`; raises UsageError."""
        found = claim(port, what, remedy)
        while not port and found in self._given:
            found = free_port()
        self._given.add(found)
        return found

    def several(self, first: int, count: int, what: str, remedy: str) -> tuple[int, ...]:
        """Return ``count`` ports from ``first`` on, or as many free ones for 0; raises UsageError."""
        names = [what if count == 1 else f"{what} {number + 1} of {count}" for number in range(count)]
        return tuple(self.claim(first and first + at, name, remedy) for at, name in enumerate(names))

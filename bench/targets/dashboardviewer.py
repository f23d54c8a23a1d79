"""A dashboard of the system under test, with one page that looks at it, as an operator's would."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from urllib.parse import urlsplit

from pipeline.local.process import ChildProcess

_TIMEOUT_S = 60.0


class WatchedDashboard:
    """The process, and a thread that reads what it pushes: without a viewer, a dashboard only counts."""

    def __init__(self, process: ChildProcess, url: str, token: str) -> None:
        self.process = process
        self.snapshots = 0
        self._place = urlsplit(url).netloc
        self._token = token
        self._socket: socket.socket | None = None
        self._reading: threading.Thread | None = None

    def watch(self, timeout_s: float) -> None:
        """Wait until it answers, and look at it from then on.

        Raises:
            ProcessFailedError: it is not ready within ``timeout_s``.
        """
        self.process.wait_for_line("dashboard ready on", timeout_s)
        self._reading = threading.Thread(target=self._read, name="viewer", daemon=True)
        self._reading.start()

    def stop_watching(self) -> None:
        """Look away."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        if self._reading is not None and self._reading.is_alive():
            self._reading.join(_TIMEOUT_S)

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):  # it has ended
            connection = http.client.HTTPConnection(self._place, timeout=_TIMEOUT_S)
            connection.request("GET", "/live", headers={"Authorization": f"Bearer {self._token}"})
            self._socket = connection.sock
            answer = connection.getresponse()
            while line := answer.readline():
                self.snapshots += line.startswith(b"data: ")

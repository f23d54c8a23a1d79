"""The log of an event loop's lag: the worst of every quarter of a second, for the harness to read.

One kind of block in a record log (traffic/recordlog.py): ``WORST``, whose header ``WORST_HEADER`` has
``time.monotonic_ns()`` at the end of the quarter and the worst lag in ns; it has no payload. So a reader loses nothing,
and has nothing to ask of a loop that may be late.
"""

from __future__ import annotations

import logging
import os
import struct
import time
from pathlib import Path

from traffic.recordlog import RecordLogWriter

WORST = 1
WORST_HEADER = struct.Struct("<qq")
NOTE_NS = 250_000_000

_log = logging.getLogger(__name__)


class LagLog:
    """Appends to a file of its own process: the beginning of its name, a dot, and the process's id."""

    def __init__(self, beginning: str) -> None:
        """Nothing is opened yet: the process may still fork."""
        self._beginning = beginning
        self._file: RecordLogWriter | None = None
        self._worst_ns = 0
        self._noted_ns = time.monotonic_ns()
        self._failed = False

    def note(self, now_ns: int, lag_ns: int) -> None:
        """Take in one lag; what cannot be written is said once, and the process goes on."""
        self._worst_ns = max(self._worst_ns, lag_ns)
        if now_ns - self._noted_ns < NOTE_NS or self._failed:
            return
        try:
            if self._file is None:
                self._file = RecordLogWriter(Path(f"{self._beginning}.{os.getpid()}"))
            self._file.append(WORST, WORST_HEADER.pack(now_ns, self._worst_ns), b"")
        except OSError as error:  # what only observes must not end what it observes
            _log.warning("the event loop's lag is no longer recorded: %s", error)
            self._failed = True
        self._worst_ns, self._noted_ns = 0, now_ns

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

"""Return free memory to the system: without this, the C library keeps what each thread used."""

from __future__ import annotations

import contextlib
import ctypes
import sys


def release() -> None:
    """Return this process's free memory to the system, if the C library can do that."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has none
            ctypes.CDLL(None).malloc_trim(0)

"""Memory that the C library keeps for later: of large repeats each thread's would otherwise stay with this process."""

from __future__ import annotations

import contextlib
import ctypes
import sys


def release() -> None:
    """Let the system have back what is free in this process; where the C library has no word for it, nothing is done."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has none
            ctypes.CDLL(None).malloc_trim(0)

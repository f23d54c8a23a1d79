"""Memory that the C library keeps for later: without this, what each thread used would stay with the process."""

from __future__ import annotations

import contextlib
import ctypes
import sys


def release() -> None:
    """Hand back to the system what is free in this process, where the C library can do that."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has none
            ctypes.CDLL(None).malloc_trim(0)

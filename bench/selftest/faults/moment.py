"""Waits for the moment of a fault: a file that the self-test makes."""

import _thread
import os
import time
from collections.abc import Callable

_POLL_S = 0.01


def when_there(path: str, act: Callable[[], None]) -> None:
    """Call ``act`` once, in a thread of its own, as soon as ``path`` is there."""
    sleep = time.sleep  # as it is now: Locust puts another in its place

    def wait() -> None:
        while not os.path.exists(path):  # noqa: PTH110 - as little as possible is loaded into the process
            sleep(_POLL_S)
        act()

    _thread.start_new_thread(wait, ())  # a thread of the kernel's, whatever becomes of the threading module

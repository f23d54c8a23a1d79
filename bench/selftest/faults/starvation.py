"""A process that hardly gets to run: another thread of it keeps Python's lock nearly all of the time."""

import sys
import time

from bench.selftest.faults.moment import when_there


def plant(starved_ms: float, for_s: float, after: str) -> None:
    """For ``for_s`` from when the file ``after`` is there, let other threads wait ``starved_ms`` at every turn."""
    monotonic = time.monotonic  # as it is now: Locust puts others in its place

    def burn() -> None:
        usual_s = sys.getswitchinterval()
        sys.setswitchinterval(starved_ms / 1000)
        until_s = monotonic() + for_s
        while monotonic() < until_s:
            pass
        sys.setswitchinterval(usual_s)

    when_there(after, burn)

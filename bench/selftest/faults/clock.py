"""A process whose clocks jump: all that it asks Python's time module for is off from one moment on."""

import time
from collections.abc import Callable

from bench.selftest.faults.moment import when_there

_NS_PER_MS = 1_000_000


def plant(clock_ms: float, after: str) -> None:
    """Put the clocks ``clock_ms`` ahead (behind, if below zero) once the file ``after`` is there."""
    ahead_ns = [0]
    for name in ("time_ns", "monotonic_ns"):
        setattr(time, name, _ahead(getattr(time, name), lambda: ahead_ns[0]))
    for name in ("time", "monotonic"):
        setattr(time, name, _ahead(getattr(time, name), lambda: ahead_ns[0] / 1e9))

    def jump() -> None:
        ahead_ns[0] = round(clock_ms * _NS_PER_MS)

    when_there(after, jump)


def _ahead(real: Callable[[], float], by: Callable[[], float]) -> Callable[[], float]:
    return lambda: real() + by()

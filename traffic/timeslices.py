"""Short turns on the processor: what a punctual sender needs on a machine that it shares with what it loads.

Since Linux 6.12 a process may ask for the length of its own turns (``sched_attr.sched_runtime`` of an
ordinary process; see sched_setattr(2) and the kernel's sched-eevdf.rst). Short ones do not give it more of
the processor: they let it have its share promptly when it wakes, before processes with long turns.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

TURN_NS = 100_000  # the shortest that the kernel grants
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
# size, policy (0: an ordinary process), flags, nice, priority, runtime, deadline, period, two clamps
_ATTRIBUTES = struct.Struct("<IIQiIQQQII")


def ask_for_short_turns() -> bool:
    """Ask for turns of ``TURN_NS`` for this thread; return whether the kernel took it (an older one ignores it)."""
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, 0, 0, nice, 0, TURN_NS, 0, 0, 0, 0)
    taken: int = ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, 0)
    return taken == 0

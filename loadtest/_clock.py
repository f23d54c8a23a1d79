"""Time as the generator sees it: monotonic, from an epoch that all its processes share."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Protocol

import gevent
from msgspec import Struct

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """What the generator needs of time; tests put their own in its place."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back; one clock for all processes of a host."""
        ...  # pragma: no cover - a protocol's body never runs

    def unix_ns(self) -> int:
        """Return the wall clock's nanoseconds since 1970."""
        ...  # pragma: no cover - a protocol's body never runs

    def sleep_until(self, monotonic_ns: int) -> None:
        """Return at that moment or later, never before."""
        ...  # pragma: no cover - a protocol's body never runs


class SystemClock:
    """The host's clocks, and gevent's sleep."""

    def monotonic_ns(self) -> int:
        """Return ``time.monotonic_ns``."""
        return time.monotonic_ns()

    def unix_ns(self) -> int:
        """Return ``time.time_ns``."""
        return time.time_ns()

    def sleep_until(self, monotonic_ns: int) -> None:
        """Let other greenlets run until then; a timer that fires early is set again."""
        while (left_ns := monotonic_ns - time.monotonic_ns()) > 0:
            gevent.sleep(left_ns / NS_PER_S)


class Epoch(Struct, frozen=True):
    """The moment from which a test's times count, on both clocks, and the host that measured it."""

    monotonic_ns: int
    unix_ns: int
    host_id: str


def epoch_in(clock: Clock, ahead_ns: int) -> Epoch:
    """Return the epoch that lies ``ahead_ns`` from now."""
    return Epoch(clock.monotonic_ns() + ahead_ns, clock.unix_ns() + ahead_ns, host_id())


def on_this_host(epoch: Epoch, clock: Clock) -> Epoch:
    """Return ``epoch`` for this process: as it is on the same host, over the wall clock from another one."""
    if epoch.host_id == host_id():
        return epoch
    return Epoch(clock.monotonic_ns() + epoch.unix_ns - clock.unix_ns(), epoch.unix_ns, epoch.host_id)


def host_id() -> str:
    """Return the id of this boot of this host; the host's name where the kernel says nothing better."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else platform.node()

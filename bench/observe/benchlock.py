"""One bench at a time on a machine: two would disturb each other."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.errors import BusyError
from bench.observe.busy import MOST_WAIT_S, Busy, WhenBusy

_SAY_EVERY_S = 60.0
_TURN_S = 0.5
_MOST_BYTES = 4_096


def lock_path() -> Path:
    """Return the file whose lock a bench of this user holds on this machine."""
    return Path(tempfile.gettempdir()) / f"tidemark-bench-{os.getuid()}.lock"


@contextlib.contextmanager
def alone(what: str, busy: Busy) -> Iterator[None]:
    """Run the block as the only bench on this machine and, unless ``busy`` allows it, only if no one else uses it now.

    Raises:
        BusyError: another bench runs, or others use the machine.
    """
    with only_one(what, busy.when, busy.say):
        asyncio.run(busy.before_all())
        yield


@contextlib.contextmanager
def only_one(
    what: str, when: WhenBusy, say: Callable[[str], None], *, most_wait_s: float = MOST_WAIT_S
) -> Iterator[None]:
    """Hold this machine's lock for the block; the lock ends with this process. ``what``: the run's folder.

    If another bench holds it, wait and say so; ``stop`` ends at once, ``go-on`` runs beside it.

    Raises:
        BusyError: the other one still runs.
    """
    descriptor = os.open(lock_path(), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if _taken(descriptor, when, say, most_wait_s):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}, {what}".encode()[:_MOST_BYTES], 0)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int, when: WhenBusy, say: Callable[[str], None], most_wait_s: float) -> bool:
    """Take the lock; False if another bench holds it and this one goes on beside it."""
    began = said = time.monotonic()
    text = ""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            if text:
                say("the other bench has ended: going on")
            return True
        now = time.monotonic()
        if not text or now - said >= _SAY_EVERY_S:
            holder = os.pread(descriptor, _MOST_BYTES, 0).decode(errors="replace") or "just started"
            again = bool(text)
            text = f"another bench runs on this machine ({holder})"
            said = now
            if when == "go-on":
                say(f"{text}: going on beside it (--when-busy go-on); each disturbs the other")
                return False
            if when == "stop":
                raise BusyError(f"{text}: start this one when it has ended")
            waited = f"{(now - began) / 60:.0f} min so far" if again else f"for at most {most_wait_s / 60:g} minutes"
            say(f"{text}: waiting for it, {waited}")
        if now - began > most_wait_s:
            raise BusyError(f"{text}, and did not end within {most_wait_s / 60:g} minutes")
        time.sleep(_TURN_S)

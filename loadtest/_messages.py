"""The messages between the processes of one test; the same within a single process."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from loadtest._clock import Epoch
from loadtest._options import Options
from traffic.counts import Counts

# Conductor to member: your part of the test; begin at this epoch; stop. Member to conductor: I have ended.
ASSIGN = "tidemark_assign"
BEGIN = "tidemark_begin"
STOP = "tidemark_stop"
ENDED = "tidemark_ended"
# What a member adds to its regular report to Locust's master: what it has counted so far.
COUNTS = "tidemark_counts"

_Message = TypeVar("_Message", bound=Struct)


class Assignment(Struct, frozen=True):
    """One process's part of test number ``test``, fixed until it ends."""

    test: int
    options: Options
    index: int
    count: int
    host: str


class Begin(Struct, frozen=True):
    """All are ready: times count from ``epoch``."""

    test: int
    epoch: Epoch


class Progress(Struct, frozen=True):
    """The counts of one process so far in test number ``test`` (0 before the first), at a time of its clock."""

    test: int
    at_ns: int
    counts: Counts


class Stop(Struct, frozen=True):
    """The schedule ends now; what was due and what is on its way is waited for, a little."""

    test: int


class Ended(Struct, frozen=True):
    """Process ``index`` has finished; ``error`` says what went wrong, if its part is not what it should be.

    ``stopped``: it was stopped before its schedule was over.
    """

    test: int
    index: int
    counts: Counts
    error: str = ""
    stopped: bool = False


def pack(message: Struct) -> Any:
    """Return ``message`` as plain values, as Locust sends them."""
    return msgspec.to_builtins(message)


def unpack(data: Any, kind: type[_Message]) -> _Message:
    """Return what :func:`pack` packed."""
    return msgspec.convert(data, kind)

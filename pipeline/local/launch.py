"""What all servers of a stack are started with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct


class Launch(Struct, frozen=True):
    """Where logs go, how nice the servers are, and which folders the guard of each removes if we die first."""

    logs_dir: Path
    niceness: int
    scratch: Callable[[], tuple[Path, ...]]


def numbered(name: str, number: int, count: int) -> str:
    """Return the name of one server of ``count``: with its number, unless it is the only one."""
    return name if count == 1 else f"{name}-{number}"

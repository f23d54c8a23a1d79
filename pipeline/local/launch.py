"""What all servers of a stack are started with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from pipeline.local.process import ChildProcess


class Launch(Struct, frozen=True):
    """Where logs go, how nice the servers are, and which folders the guard of each removes if we die first."""

    logs_dir: Path
    niceness: int = 0
    scratch: Callable[[], tuple[Path, ...]] = tuple

    def process(
        self, name: str, argv: Sequence[str | Path], log: str, *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> ChildProcess:
        """Return the process of one server, not started yet; ``log``: the name of its log file."""
        return ChildProcess(
            name,
            argv,
            env=env,
            log_path=self.logs_dir / log,
            cwd=cwd,
            scratch=self.scratch(),
            niceness=self.niceness,
        )


def numbered(name: str, number: int, count: int) -> str:
    """Return the name of one server of ``count``: with its number, unless it is the only one."""
    return name if count == 1 else f"{name}-{number}"

"""What can go wrong in the harness itself; the tree goes on from ``pipeline/errors.py``.

TidemarkError
├── UsageError
│   └── MatrixError     a matrix that cannot be run: every problem with its line (exit 2)
├── StopError           the run ends here and can be resumed
│   ├── BusyError           others use the machine (exit 4)
│   ├── DeadServerError     a server that the run started has ended (exit 2)
│   └── StorageError        the run's folder cannot be written (exit 2)
└── RepeatError         one repeat could not be carried through: recorded as failed, the rest goes on
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.errors import TidemarkError, UsageError


class Problem(NamedTuple):
    """One thing that is wrong with a matrix: ``line`` counts from 1; what is wrong with all of it stands at line 1."""

    line: int
    text: str


class MatrixError(UsageError):
    """A matrix cannot be run. The message has one line a problem: ``source:line: what, and how to fix it``."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        """``source``: the file as the user named it; ``problems``: at least one."""
        ordered = sorted(problems, key=lambda problem: problem.line)
        super().__init__("\n".join(f"{source}:{problem.line}: {problem.text}" for problem in ordered))
        self.source = source
        self.problems = tuple(ordered)


class RepeatError(TidemarkError):
    """A repeat broke down before it could be measured; the message says at which step."""


class StopError(TidemarkError):
    """The run ends early; finished repeats are kept, and it can be resumed."""

    exit_code = 2


class BusyError(StopError):
    """Other programs use the machine, so nothing can be measured. The message names them."""

    exit_code = 4


class DeadServerError(StopError):
    """A server that the run started for itself has ended; the message shows its last lines."""


class StorageError(StopError):
    """The run's folder cannot be written; the message says why and how to fix it."""

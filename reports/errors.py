"""What can be wrong with a question to a run, on top of ``pipeline.errors``; ``bundle.errors`` is about runs.

UsageError
├── ComparisonError         two runs that cannot be compared (exit 2)
├── ObjectiveError          an objective or a target that is not understood (exit 2)
└── NothingMeasuredError    the run has no cell that could answer (exit 2)
"""

from __future__ import annotations

from pipeline.errors import UsageError


class ComparisonError(UsageError):
    """Two runs have nothing that could be compared, or are one; the message says why."""


class ObjectiveError(UsageError):
    """An objective or a target is not written as it has to be; says how."""


class NothingMeasuredError(UsageError):
    """The run has no cell of the kind that the question needs; says which to measure."""

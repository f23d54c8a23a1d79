"""What can be wrong with a bundle, on top of ``pipeline.errors``.

UsageError
├── NoRunError              there is no run to report on (exit 2)
├── ComparisonError         two runs that cannot be compared (exit 2)
├── ObjectiveError          an objective or a target that is not understood (exit 2)
└── NothingMeasuredError    the run has no cell that could answer (exit 2)
MissingPartError
└── BundleError             a bundle, or a file that it must have, is missing or damaged (exit 2)
    └── SchemaVersionError  written by another version of the harness (exit 2)
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import MissingPartError, UsageError


class NoRunError(UsageError):
    """Neither a folder nor a run's name was found where the user said, or nothing was said and there is none."""


class ComparisonError(UsageError):
    """Two runs have nothing that could be compared, or are one; the message says why."""


class ObjectiveError(UsageError):
    """An objective or a target is not written as it has to be; says how."""


class NothingMeasuredError(UsageError):
    """The run has no cell of the kind that the question needs; says which to measure."""


class BundleError(MissingPartError):
    """A bundle cannot be read; names the file and what is wrong with it."""


class SchemaVersionError(BundleError):
    """A file of the bundle has a schema version that this reader does not know."""

    def __init__(self, path: Path, found: object, needed: int) -> None:
        """``found`` as written in ``path``; ``needed`` the one that this reader knows."""
        super().__init__(
            f"{path} has schema_version {found!r}, and this report needs schema_version {needed}: "
            f"make the report with the Tidemark that measured (its git revision is in manifest.json), or measure again"
        )
        self.found = found
        self.needed = needed

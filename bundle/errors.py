"""What can be wrong with a run's folder. ``exit_code`` is what a command line that ends with the error exits with."""

from __future__ import annotations

from pathlib import Path


class BundleError(Exception):
    """A run's folder is not there, is not whole or cannot be used; the message names the file and how to mend it."""

    exit_code = 2


class NoRunError(BundleError):
    """There is no run where the user said, or nothing was said and there is none."""


class SchemaVersionError(BundleError):
    """A file of the bundle has a schema version that this program does not know."""

    def __init__(self, path: Path, found: object, needed: int) -> None:
        """``found`` as written in ``path``; ``needed`` the one that this program knows."""
        super().__init__(
            f"{path} has schema_version {found!r}, and this program needs schema_version {needed}: "
            f"use the Tidemark that measured (its git revision is in manifest.json), or measure again"
        )
        self.found = found
        self.needed = needed

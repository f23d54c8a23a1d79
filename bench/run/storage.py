"""A folder that cannot be written: full, over its quota, or read-only."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.errors import StorageError

LEAST_FREE_BYTES = 32 * 1024 * 1024
"""With less room left, the files of a repeat may be cut off, so its result is not kept."""
_REASONS = {
    errno.ENOSPC: "is full",
    errno.EDQUOT: "is full: the quota is used up",
    errno.EROFS: "is read-only",
    errno.EACCES: "may not be written",
    errno.EPERM: "may not be written",
}


def expect_room(folder: Path, error: BaseException | None = None) -> None:
    """Check that ``folder`` has room left and that ``error`` is not about a full or read-only folder.

    Raises:
        StorageError: it has no room, or ``error`` is about that.
    """
    while error is not None:
        if isinstance(error, OSError) and _is_of(folder, error):
            raise StorageError(_words(error, folder)) from error
        error = error.__cause__
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        raise StorageError(_words(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), folder))


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the system's error about a full or read-only ``folder`` into one that says what to do.

    Raises:
        StorageError: in place of an OSError of that kind.
    """
    try:
        yield
    except OSError as error:
        if not _is_of(folder, error):
            raise
        raise StorageError(_words(error, folder)) from error


def _is_of(folder: Path, error: OSError) -> bool:
    """Whether the error is about ``folder``; when the disk is full, many calls name no file."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return bool(error.filename) and Path(os.fsdecode(error.filename)).absolute().is_relative_to(folder.absolute())
    return error.errno in _REASONS


def _words(error: OSError, folder: Path) -> str:
    where = Path(os.fsdecode(error.filename)) if error.filename else folder
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = "" if not folder.exists() else f" ({shutil.disk_usage(folder).free / 1e6:,.0f} MB are free)"
        remedy = "make room there"
    else:
        free, remedy = "", "make it writable, or choose another folder with --out"
    what = folder if where.absolute() == folder.absolute() else f"{where} cannot be written: {folder}"
    return f"{what} {_REASONS[error.errno or errno.ENOSPC]}{free}: {remedy}"

"""What to do if a folder cannot be written: it is full, read-only, or another user's."""

from __future__ import annotations

import errno

from pipeline.errors import MissingPartError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def unusable(error: BaseException, where: str, remedy: str) -> MissingPartError | None:
    """Return the error that says what is full or read-only and what to do; None if ``error`` is about something else.

    ``where``: the folder as far as the caller knows it; ``remedy``: how to choose another one.
    """
    if not isinstance(error, OSError) or error.errno not in _FULL | _CLOSED:
        return None
    what = error.filename if isinstance(error.filename, str) else where
    if error.errno in _FULL:
        return MissingPartError(f"the disk of {what} is full: free some space, or {remedy}")
    state = "is on a read-only file system" if error.errno == errno.EROFS else "may not be written by this user"
    return MissingPartError(f"{what} {state}: {remedy}")

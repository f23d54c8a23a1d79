"""Work that takes long, done in a thread, so that this process's greenlets run on and it does not seem dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gevent

from pipeline.errors import TidemarkError

_Result = TypeVar("_Result")


def in_thread(work: Callable[[], _Result]) -> _Result:
    """Run ``work`` and return its result; a TidemarkError of it is raised here."""

    def caught() -> _Result | TidemarkError:
        # The pool prints every exception that leaves it as if it were a crash.
        try:
            return work()
        except TidemarkError as error:
            return error

    result: _Result | TidemarkError = gevent.get_hub().threadpool.apply(caught)
    if isinstance(result, TidemarkError):
        raise result
    return result

"""Questions to a server that may be away for a while: a broker that was killed, a primary that is being elected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError
from pymongo.errors import OperationFailure, PyMongoError

from pipeline.errors import MissingPartError, ProvisionError

PATIENCE_S = 60.0
"""For so long the bench asks again before a repeat breaks down of it."""
_RETRY_S = 0.25
_PASSING = (KafkaError, PyMongoError, MissingPartError, ProvisionError, TimeoutError, OSError)
_AFTER_AN_ELECTION = frozenset({43, 91, 133, 175, 189, 237, 11600, 11602, 13435, 13436, 10107})

_Answer = TypeVar("_Answer")


async def answered(ask: Callable[[], Awaitable[_Answer]], *, patience_s: float = PATIENCE_S) -> _Answer:
    """Ask until there is an answer; raise what the last try raised after ``patience_s``."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return await ask()
        except _PASSING as error:
            if time.monotonic() + _RETRY_S > deadline or is_refused(error):
                raise
        await asyncio.sleep(_RETRY_S)


def is_refused(error: Exception) -> bool:
    """Whether the server is there and will go on to refuse: nothing that asking again would change."""
    if isinstance(error, KafkaError):
        name = type(error).__name__
        return "Authorization" in name or "Authentication" in name
    if isinstance(error, OperationFailure):
        return error.code not in _AFTER_AN_ELECTION and not error.has_error_label("RetryableError")
    return False

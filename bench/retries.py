"""Retries for a server that may be away for a while: a broker was killed, a primary is being elected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError
from pymongo.errors import OperationFailure, PyMongoError

from pipeline.errors import MissingPartError, ProvisionError

PATIENCE_S = 60.0
"""How long the bench retries before the repeat breaks down."""
_RETRY_S = 0.25
_PASSING = (KafkaError, PyMongoError, MissingPartError, ProvisionError, TimeoutError, OSError)
_AFTER_AN_ELECTION = frozenset({43, 91, 133, 175, 189, 237, 11600, 11602, 13435, 13436, 10107})

_Answer = TypeVar("_Answer")


async def answered(ask: Callable[[], Awaitable[_Answer]], *, patience_s: float = PATIENCE_S) -> _Answer:
    """Call ``ask`` until it succeeds; after ``patience_s``, raise the error of the last try."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return await ask()
        except _PASSING as error:
            if time.monotonic() + _RETRY_S > deadline or is_refused(error):
                raise
        await asyncio.sleep(_RETRY_S)


def is_refused(error: Exception) -> bool:
    """Whether the server answers and will refuse every retry too."""
    if isinstance(error, KafkaError):
        name = type(error).__name__
        return "Authorization" in name or "Authentication" in name
    if isinstance(error, OperationFailure):
        return error.code not in _AFTER_AN_ELECTION and not error.has_error_label("RetryableError")
    return False

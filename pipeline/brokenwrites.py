"""A patch of aiokafka under uvloop: writing to a connection that has just broken is an error of that connection.

asyncio's own loop lets such a write pass, and aiokafka looks for OSError only. uvloop raises RuntimeError, which ended
aiokafka's task that fetches, or the one that follows the cluster's metadata, without a word: the consumer or producer
then waited for ever. It happens where a broker goes away at the moment that a request is due.
"""

from __future__ import annotations

import functools
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


@functools.wraps(_send)
def _send_or_break(self: AIOKafkaConnection, *arguments: Any, **named: Any) -> Any:
    try:
        return _send(self, *arguments, **named)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"a connection to Kafka broke: {error}") from error


def patch_aiokafka() -> None:
    """Have every connection of this process do so; more than once is the same as once."""
    AIOKafkaConnection.send = _send_or_break

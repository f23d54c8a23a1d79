"""Dead letters: records that cannot be stored, kept on a topic of their own with reason and origin."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from pipeline.settings import Kafka
from pipeline.worker.batches import Refusal
from pipeline.worker.waiting import Waiting

log = logging.getLogger(__name__)

_MAX_REQUEST_BYTES = 64 * 1024 * 1024
_DETAIL_CHARACTERS = 500
_TRUNCATED_BYTES = 256 * 1024
_STOP_TIMEOUT_S = 5.0


class _Letter(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class DeadLetters:
    """Publishes until it succeeds; the producer is made when it is first needed."""

    def __init__(self, kafka: Kafka, retry_pause_s: float) -> None:
        """``retry_pause_s`` lies between two attempts."""
        self._kafka = kafka
        self._timeout_s = 2 * kafka.request_timeout_ms / 1000  # the client's own time-out should come first
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()
        part = f"Kafka's topic {kafka.dead_letter_topic} at {kafka.bootstrap_servers}"
        self._waiting = Waiting(part, retry_pause_s)

    async def publish(self, refusals: Sequence[Refusal]) -> None:
        """Put ``refusals`` on the dead-letter topic; return when Kafka has acknowledged all of them.

        Key and value stay as they are, the headers ``reason``, ``detail``, ``topic``, ``partition``
        and ``offset`` are added. Waits as long as Kafka or the topic is away. After a time-out
        the same record may be there twice: its origin tells.
        """
        letters = [_letter(refusal) for refusal in refusals]
        async with self._lock:
            while letters:
                try:
                    letters = await self._send(letters)
                except (KafkaError, TimeoutError) as error:
                    await self.close()
                    await self._waiting.pause(error)
            self._waiting.over()

    async def close(self) -> None:
        """Let go of the producer, in bounded time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            # With the broker away stop() may hang or fail; nothing of ours waits in it.
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(producer.stop(), _STOP_TIMEOUT_S)

    async def _send(self, letters: Sequence[_Letter]) -> list[_Letter]:
        """Send ``letters``; give those that are to be sent again, truncated, as they are too large.

        Raises:
            KafkaError, TimeoutError: some or all were not acknowledged.
        """
        producer = await self._started()
        topic = self._kafka.dead_letter_topic
        too_large = []
        async with asyncio.timeout(self._timeout_s):
            sent = [await producer.send(topic, each.value, key=each.key, headers=each.headers) for each in letters]
            outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for letter, outcome in zip(letters, outcomes, strict=True):
            if isinstance(outcome, MessageSizeTooLargeError) and len(letter.value or b"") > _TRUNCATED_BYTES:
                too_large.append(_truncated(letter))
            elif isinstance(outcome, BaseException):
                raise outcome
        return too_large

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._kafka.bootstrap_servers,
                client_id="tidemark-dead-letters",
                acks="all",
                compression_type="gzip",  # the headers must fit in beside a value of the largest size
                max_request_size=_MAX_REQUEST_BYTES,
                request_timeout_ms=self._kafka.request_timeout_ms,
            )
            async with asyncio.timeout(self._timeout_s):
                await self._producer.start()
        return self._producer


def _letter(refusal: Refusal) -> _Letter:
    record = refusal.record
    headers = [
        ("reason", refusal.reason.encode()),
        ("detail", refusal.detail[:_DETAIL_CHARACTERS].encode("utf-8", "backslashreplace")),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
    ]
    return _Letter(record.key, record.value, headers)


def _truncated(letter: _Letter) -> _Letter:
    value = letter.value or b""
    log.error("a dead letter of %d bytes is too large for Kafka and is truncated", len(value))
    headers = [*letter.headers, ("original_bytes", str(len(value)).encode())]
    return _Letter(letter.key, value[:_TRUNCATED_BYTES], headers)

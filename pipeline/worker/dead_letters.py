"""Dead letters: records that cannot be stored, kept on a topic of their own with reason and origin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from pipeline.bounded import bounded, result_of
from pipeline.messages.letter import Letter, cut, letter_of
from pipeline.settings import Kafka
from pipeline.worker.batches import RefusedRecord
from pipeline.worker.waiting import Waiting

log = logging.getLogger(__name__)

_MAX_REQUEST_BYTES = 64 * 1024 * 1024
_STOP_TIMEOUT_S = 5.0


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

    async def publish(self, refusals: Sequence[RefusedRecord]) -> None:
        """Put ``refusals`` on the dead-letter topic; return when Kafka has acknowledged all of them.

        Key, value, headers and time of each record are kept (``pipeline/messages/letter.py``). Waits as long as Kafka
        or the topic is away. After a time-out the same record may be there twice; both have the same origin.
        """
        letters = [letter_of(each.record, each.reason, each.detail) for each in refusals]
        async with self._lock:
            while letters:
                try:
                    letters = await bounded(self._send(letters), self._timeout_s)
                except Exception as error:  # noqa: BLE001  # any failure of the client: a new one, until it is sent
                    await self.close()
                    await self._waiting.pause(error)
            self._waiting.over()

    async def close(self) -> None:
        """Let go of the producer, in bounded time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await bounded(producer.stop(), _STOP_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001  # with the broker away stop() may hang or fail
                log.info("a producer of dead letters did not end in order: %s", error or type(error).__name__)

    async def _send(self, letters: Sequence[Letter]) -> list[Letter]:
        """Send ``letters``; return those that are too large, cut, to be sent again.

        Raises:
            KafkaError: some or all were not acknowledged.
        """
        producer = await self._started()
        topic = self._kafka.dead_letter_topic
        sent = [await producer.send(topic, each.value, key=each.key, headers=each.headers) for each in letters]
        await asyncio.wait(sent)
        too_large = []
        for letter, future in zip(letters, sent, strict=True):
            try:
                result_of(future)
            except MessageSizeTooLargeError:
                smaller = cut(letter)
                if smaller is None:
                    raise
                log.error(  # noqa: TRY400  # Kafka's words are known
                    "a dead letter is too large for Kafka and is cut: %s", letter.origin
                )
                too_large.append(smaller)
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
            await self._producer.start()
        return self._producer

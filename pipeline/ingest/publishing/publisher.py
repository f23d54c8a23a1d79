"""The way to Kafka for a process's whole life: connects, and connects anew whenever the connection fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiokafka.errors import KafkaError

from pipeline.errors import UnavailableError
from pipeline.ingest.admission import Reservation
from pipeline.ingest.publishing.connection import RETRY_AFTER_S, Connection, connect
from pipeline.ingest.publishing.submission import Records, Submission
from pipeline.ingest.slices import TimeSlices
from pipeline.settings import Settings

_RETRY_PAUSE_S = 0.5
_ANSWER_TIMEOUT_S = 2.0
_ANSWER_VALID_S = 1.0

_log = logging.getLogger(__name__)


class Publisher:
    """Takes the events of requests and reports what became of each. One per process, on its event loop."""

    def __init__(self, settings: Settings, clients: Callable[[], int]) -> None:
        """``clients`` returns how many are connected. Takes nothing before :meth:`run` has connected."""
        self._settings = settings
        self._clients = clients
        self._connection: Connection | None = None
        self._reason = f"not yet connected to Kafka at {settings.kafka.bootstrap_servers}"
        self._asked_at = 0.0
        self._asking = asyncio.Lock()
        self.reconnects = 0
        self.attempted = asyncio.Event()
        """Set once the first attempt to connect has ended, whichever way."""

    async def run(self) -> None:
        """Connect, and connect anew whenever that fails, until cancelled."""
        while True:
            try:
                self._connection = await connect(self._settings, self._clients)
            except UnavailableError as error:
                if str(error) != self._reason:
                    _log.warning("%s; trying again", error)
                    self._reason = str(error)
                self.attempted.set()
                await asyncio.sleep(_RETRY_PAUSE_S)
                continue
            self.attempted.set()
            _log.info("connected to Kafka at %s", self._settings.kafka.bootstrap_servers)
            failure = await self._connection.failure()
            failed, self._connection = self._connection, None
            self._reason = f"the connection to Kafka failed: {failure or type(failure).__name__}"
            self.reconnects += 1
            _log.warning("%s; connecting anew", self._reason)
            await failed.give_up(self._reason)

    @property
    def connected(self) -> bool:
        """Whether events are taken at this moment, as far as is known."""
        return self._connection is not None

    def publish(self, records: Records, timestamp_ms: int, reservation: Reservation) -> Submission:
        """Queue ``records`` with ``timestamp_ms`` as their time in Kafka; then the submission owns ``reservation``.

        Raises:
            UnavailableError: there is no connection; nothing was queued and ``reservation`` is still the caller's.
        """
        if self._connection is None:
            raise UnavailableError(self._reason, RETRY_AFTER_S)
        return self._connection.publish(records, timestamp_ms, reservation)

    async def prepare(self, records: Records, slices: TimeSlices) -> None:
        """Do the slow part of :meth:`publish` in slices, before calling it."""
        if self._connection is not None:
            await self._connection.prepare(records, slices)

    async def check(self) -> None:
        """Return where Kafka answers and has the topics; asks at most once a second, for 2 s at most.

        Raises:
            UnavailableError: it does not, and why.
        """
        async with self._asking:
            connection = self._connection
            if connection is None:
                raise UnavailableError(self._reason, RETRY_AFTER_S)
            missing = connection.missing_topics()
            if missing:
                raise UnavailableError(connection.missing_topic(missing[0]), RETRY_AFTER_S)
            now = asyncio.get_running_loop().time()
            if now - self._asked_at < _ANSWER_VALID_S:
                return
            try:
                await connection.ask(_ANSWER_TIMEOUT_S)
            except (KafkaError, TimeoutError) as error:
                message = f"Kafka does not answer: {error or f'nothing within {_ANSWER_TIMEOUT_S:g} s'}"
                raise UnavailableError(message, RETRY_AFTER_S) from error
            self._asked_at = asyncio.get_running_loop().time()

    async def close(self, timeout_s: float) -> None:
        """Give up the connection, once the events in hand are acknowledged or ``timeout_s`` has passed.

        To be called when :meth:`run` was cancelled, or it would connect anew.
        """
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close(timeout_s)

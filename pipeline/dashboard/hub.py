"""One snapshot for all viewers, made only while someone looks, and handed to each as fast as it reads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from aiokafka.errors import KafkaError
from msgspec import Struct
from pymongo.errors import PyMongoError

from pipeline.bounded import give_up, result_of
from pipeline.dashboard.view import Activity, Health, Snapshot, SourceState, StoredTotal
from pipeline.errors import UnavailableError

log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
"""After so long without news a viewer gets a sign that the connection lives."""

_RETRY_AFTER_S = 10
_READ_S = 4.0  # a part that takes longer does not answer
_PATIENCE_S = 1.0  # so long a snapshot waits for a part that answered before: the other's figures go on
_encode = msgspec.json.Encoder().encode


class Readers(Struct, frozen=True):
    """What a snapshot is made of. Where one fails, the others' figures go on."""

    activity: Callable[[], Awaitable[Activity]]
    stored: Callable[[], Awaitable[int | None]]
    health: Callable[[], Awaitable[Health]]


class PartFigures:
    """The newest figures of one part, and since when it does not answer."""

    def __init__(self, name: str) -> None:
        """``name`` with its address, as a person would name it."""
        self._name = name
        self.source = SourceState(0)
        self.value: Any = None
        self._renewing: asyncio.Task[None] | None = None

    async def renew(self, read: Callable[[], Awaitable[Any]]) -> None:
        """Take what ``read`` returns; if it fails, keep what there is and say so.

        Returns without an answer if that takes long. It is taken when it comes; until then, nothing else is asked.
        """
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(read()))
        known = self.source.at_ms or self.source.error
        await asyncio.wait({self._renewing}, timeout=_PATIENCE_S if known else None)
        if self._renewing.done():
            renewed, self._renewing = self._renewing, None
            result_of(renewed)

    async def close(self) -> None:
        """End a question that is still open."""
        if self._renewing is not None:
            await give_up(self._renewing)

    async def _renew(self, reading: Awaitable[Any]) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                self.value = await reading
        except (PyMongoError, KafkaError, TimeoutError, OSError, KeyError) as error:
            if not self.source.error:
                log.warning("%s does not answer: %s", self._name, str(error)[:500] or type(error).__name__)
            # No words of the library's: they may hold addresses of other hosts, or worse.
            self._fail("lacks a topic (run `./tidemark init`)" if isinstance(error, KeyError) else "does not answer")
        except Exception:  # unforeseen; the other part's figures go on all the same
            if not self.source.error:
                log.exception("the answer of %s could not be read", self._name)
            self._fail("gave an answer that could not be read (the dashboard's log says more)")
        else:
            if self.source.error:
                log.info("%s is back", self._name)
            self.source = SourceState(time.time_ns() // 1_000_000)

    def _fail(self, words: str) -> None:
        since_ms = self.source.since_ms or time.time_ns() // 1_000_000
        self.source = SourceState(self.source.at_ms, f"{self._name} {words}", since_ms)


class Hub:
    """Makes snapshots while there are viewers; bounded in viewers, and in what waits for each: the newest one."""

    def __init__(self, readers: Readers, *, mongo: str, kafka: str, refresh_s: float, most: int, counts: bool) -> None:
        """``mongo``, ``kafka``: their names for people; ``most``: viewers; ``counts``: whether this process counts."""
        self._readers = readers
        self._mongo, self._kafka = PartFigures(mongo), PartFigures(kafka)
        self._refresh_s = refresh_s
        self._most = most
        self._counts = counts
        self._making = asyncio.Lock()
        self._made_s = -1e9
        self._newest = b""
        self._news = asyncio.Event()
        self._watched = asyncio.Event()
        self._closed = False
        self.viewers = 0

    async def run(self) -> None:
        """Make snapshots as long as someone looks, until cancelled."""
        try:
            while True:
                await self._watched.wait()
                try:
                    await self._make()
                except Exception:  # the viewers see that the figures grow old
                    log.exception("a snapshot could not be made")
                await asyncio.sleep(self._refresh_s)
        finally:
            for part in (self._mongo, self._kafka):
                await part.close()

    async def snapshot(self) -> bytes:
        """Return a snapshot as JSON, not older than the time between two of them."""
        if time.monotonic() - self._made_s > self._refresh_s:
            await self._make()
        return self._newest

    async def follow(self) -> AsyncIterator[bytes]:
        """Return each snapshot as JSON, the newest one first; empty where nothing came for a while.

        Raises:
            UnavailableError: there are as many viewers as may be.
        """
        if self.viewers >= self._most:
            message = f"{self._most} pages look at this dashboard already (PIPELINE_DASHBOARD_MAX_VIEWERS)"
            raise UnavailableError(message, _RETRY_AFTER_S)
        self.viewers += 1
        self._watched.set()
        try:
            if time.monotonic() - self._made_s <= 2 * self._refresh_s:
                yield self._newest
            while not self._closed:
                news = asyncio.ensure_future(self._news.wait())
                done, _ = await asyncio.wait({news}, timeout=HEARTBEAT_S)
                if done:
                    yield self._newest
                else:
                    await give_up(news)
                    yield b""
        finally:
            self.viewers -= 1
            if not self.viewers:
                self._watched.clear()

    def close(self) -> None:
        """Let all viewers go."""
        self._closed = True
        self._announce()

    async def _make(self) -> None:
        began_s = time.monotonic()
        async with self._making:
            if self._made_s >= began_s:
                return  # another one made it while we waited
            await asyncio.gather(
                self._mongo.renew(lambda: _both(self._readers.activity(), self._readers.stored())),
                self._kafka.renew(self._readers.health),
            )
            activity, stored = self._mongo.value or (None, None)
            snapshot = Snapshot(
                at_ms=time.time_ns() // 1_000_000,
                refresh_s=self._refresh_s,
                counts=self._counts,
                mongo=self._mongo.source,
                kafka=self._kafka.source,
                activity=activity,
                stored=stored,
                health=self._kafka.value,
            )
            self._newest = _encode(snapshot)
            self._made_s = time.monotonic()
            self._announce()

    def _announce(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


async def _both(activity: Awaitable[Activity], stored: Awaitable[int | None]) -> tuple[Activity, StoredTotal]:
    found, events = await asyncio.gather(activity, stored)
    return found, StoredTotal(events)

"""The consumer: joins the group, reads, hands batches to the writer, commits what is stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import TopicPartition

from pipeline.pace import Pace
from pipeline.settings import Settings
from pipeline.topics import event_topics
from pipeline.worker.batches import batches_of
from pipeline.worker.flights import Flights
from pipeline.worker.mapping import Record
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.waiting import Waiting
from pipeline.worker.writer import BatchWriter

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# Longer than any outage that we wait out: a worker that waits for MongoDB stays in its group.
_MAX_POLL_INTERVAL_MS = 24 * 3600 * 1000
_REBALANCE_TIMEOUT_MS = 30_000
_SETTLE_TIMEOUT_S = _REBALANCE_TIMEOUT_MS / 1000 / 2  # in a rebalance, which must not wait for us for ever
_METADATA_MAX_AGE_MS = 5_000  # how long a new topic or partition may go unnoticed
_WATCH_INTERVAL_S = 5.0
_UNANSWERED_LIMIT = 3  # looks in a row: then the consumer is made anew
_COMMIT_INTERVAL_S = 0.05  # while batches are small, a commit for each would cost more than the writes
_STOP_TIMEOUT_S = 5.0


class _Fetched(NamedTuple):
    """What one poll gave, and when, and under which assignment."""

    records: Mapping[TopicPartition, Sequence[Record]]
    fetched_ns: int
    epoch: int
    gather_s: float  # from then on, before the next poll


class EventConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One member of the group, from its first join until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        writer: BatchWriter,
        metrics: WorkerMetrics,
        *,
        on_assigned: Callable[[Mapping[str, Sequence[int]]], None],
    ) -> None:
        """``on_assigned`` is called at every assignment with the partitions by topic, maybe none."""
        self._settings = settings
        self._metrics = metrics
        self._on_assigned = on_assigned
        self._topics = event_topics(settings.kafka)
        self._flights = Flights(writer.write, settings.worker.writes_in_flight)
        self._pace = Pace(settings.worker.linger_ms / 1000, settings.worker.batch_max_events)
        self._waiting = Waiting(f"Kafka at {settings.kafka.bootstrap_servers}", settings.worker.retry_pause_s)
        self._stop = asyncio.Event()
        self._stop_at_s = 0.0
        self._committed_s = 0.0
        self._committing: asyncio.Task[None] | None = None
        # Of the time to stop, this much is for the last commit, and as much for leaving the group.
        self._reserve_s = min(settings.worker.shutdown_timeout_s / 8, _STOP_TIMEOUT_S)
        self._consumer: AIOKafkaConsumer = None
        self._failure: Exception | None = None

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Finish what is in hand, commit, leave the group; :meth:`run` then returns."""
        if not self._stop.is_set():
            self._stop_at_s = asyncio.get_running_loop().time() + self._settings.worker.shutdown_timeout_s
            self._stop.set()

    async def run(self) -> int:
        """Work until :meth:`stop`; give how many events in hand were left unsettled then.

        They are not committed, so their partitions' next owner reads them again.
        """
        while not self._stop.is_set():
            self._consumer = self._new_consumer()
            try:
                await self._unless_stopped(self._consumer.start())
                await self._unless_stopped(self._consume(), grace_until_s=self._settle_until_s)
            except UnknownTopicOrPartitionError:
                topics = ", ".join(self._topics)
                self._waiting.note(f"not all of the topics {topics} exist; `./tidemark init` makes them")
            except KafkaError as error:
                self._waiting.note(error)
                self._failure = None
            finally:
                await self._leave()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._settings.worker.retry_pause_s)
        return await self._flights.abandon()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Settle and commit what is in flight, as long as these partitions are still ours."""
        try:
            async with asyncio.timeout(_SETTLE_TIMEOUT_S), self._flights.lock:
                await self._settle_all()
                await self._commit()
        except TimeoutError:
            log.warning("writes in flight were not settled in time: the next owner of %s reads again", sorted(revoked))
        except Exception as error:  # noqa: BLE001  # aiokafka logs and forgets it: the loop raises it instead
            self._failure = error
        finally:
            self._flights.begin_epoch()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Tell what this worker reads from now on."""
        partitions: dict[str, list[int]] = {}
        for topic, partition in sorted(assigned):
            partitions.setdefault(topic, []).append(partition)
        self._metrics.rebalances.inc()
        self._metrics.assigned.set(len(assigned))
        log.info("assigned: %s", partitions or "nothing, as there are more workers than partitions")
        try:
            self._on_assigned(partitions)
        except Exception as error:  # noqa: BLE001  # as above
            self._failure = error

    def _new_consumer(self) -> AIOKafkaConsumer:
        kafka, worker = self._settings.kafka, self._settings.worker
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers,
            group_id=worker.group_id,
            client_id="tidemark-worker",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_min_bytes=worker.fetch_min_bytes,
            fetch_max_wait_ms=worker.fetch_max_wait_ms,
            max_partition_fetch_bytes=worker.max_partition_fetch_bytes,
            request_timeout_ms=max(kafka.request_timeout_ms, worker.fetch_max_wait_ms + 1_000),
            session_timeout_ms=worker.session_timeout_ms,
            heartbeat_interval_ms=max(worker.session_timeout_ms // 4, 1),
            rebalance_timeout_ms=_REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
            metadata_max_age_ms=_METADATA_MAX_AGE_MS,
        )
        consumer.subscribe(topics=list(self._topics), listener=self)
        return consumer

    async def _consume(self) -> None:
        """Read, write and commit until stopped; raises KafkaError when only a new consumer helps."""
        worker = self._settings.worker
        watch = asyncio.ensure_future(self._watch())
        try:
            while not self._stop.is_set():
                fetched = await self._unless_stopped(self._fetch())
                if self._failure is not None:
                    raise self._failure
                if fetched is None or not fetched.records:
                    await self._settle_and_commit()
                    continue
                batches = batches_of(
                    fetched.records,
                    fetched_ns=fetched.fetched_ns,
                    epoch=fetched.epoch,
                    max_events=worker.batch_max_events,
                    max_bytes=worker.batch_max_bytes,
                )
                for batch in batches:
                    self._metrics.fetched.inc(batch.events)
                    await self._make_room()
                    await self._flights.start(batch)
                    await self._settle_what_is_done()
                if fetched.gather_s:
                    await self._gather(fetched)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _fetch(self) -> _Fetched:
        worker = self._settings.worker
        self._consumer.resume(*self._consumer.paused())  # not those of an assignment since: nothing of it was paused
        records = await self._consumer.getmany(timeout_ms=worker.fetch_max_wait_ms, max_records=worker.batch_max_events)
        # Nothing may come between: the records are of the assignment that holds at this moment, and aiokafka's next
        # fetch, which would bring the few events that have come since, is on its way as soon as it has its turn.
        fetched_ns = time.monotonic_ns()
        gather_s = self._pace.after(sum(map(len, records.values())), fetched_ns / 1e9)
        if gather_s:
            self._consumer.pause(*self._consumer.assignment())
        return _Fetched(records, fetched_ns, self._flights.epoch, gather_s)

    async def _gather(self, fetched: _Fetched) -> None:
        """Let events gather in Kafka until the next poll."""
        await self._make_room()
        left_s = fetched.fetched_ns / 1e9 + fetched.gather_s - time.monotonic()
        if left_s > 0:
            await self._unless_stopped(asyncio.sleep(left_s))

    async def _make_room(self) -> None:
        """Wait until one more write may start."""
        while self._flights.full:
            async with self._flights.lock:
                if self._flights.full:
                    await self._flights.settle_oldest()

    async def _settle_and_commit(self) -> None:
        """Settle everything in flight and commit it."""
        async with self._flights.lock:
            await self._settle_all()
            await self._commit()

    async def _settle_what_is_done(self) -> None:
        """Settle what is done and let it be committed, though not all too often, while the work goes on."""
        if self._flights.lock.locked():  # a commit is under way: there will be another
            return
        async with self._flights.lock:
            while self._flights.oldest_done:
                await self._flights.settle_oldest()
        idle = self._committing is None or self._committing.done()
        if idle and time.monotonic() - self._committed_s >= _COMMIT_INTERVAL_S:
            self._committing = asyncio.create_task(self._commit_beside())

    async def _commit_beside(self) -> None:
        """Commit beside the work; what fails and nobody foresaw, the loop raises."""
        try:
            async with self._flights.lock:
                await self._commit()
        except Exception as error:  # noqa: BLE001  # as in a rebalance
            self._failure = error

    async def _settle_all(self) -> None:
        while self._flights.any:
            await self._flights.settle_oldest()

    async def _commit(self) -> None:
        """Commit what is settled and still owned; what fails is kept and committed with the next."""
        owned = self._consumer.assignment()
        offsets = {each: offset for each, offset in self._flights.committable().items() if each in owned}
        if not offsets or not self._is_member():
            return
        try:
            async with asyncio.timeout(self._settings.kafka.request_timeout_ms / 1000):
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("not committed, the group is rebalancing: %s", error)
        except (KafkaError, TimeoutError) as error:
            self._waiting.note(error)
        else:
            self._committed_s = time.monotonic()
            self._flights.committed(offsets)
            self._waiting.over()

    def _is_member(self) -> bool:
        """Whether the group has not thrown us out, as far as we know.

        Once it has, aiokafka commits as one outside of any group, and as long as the group is
        empty Kafka takes that: offsets that others have moved on would go back.
        """
        return bool(self._consumer._coordinator.generation > 0)  # noqa: SLF001  # told nowhere else

    async def _leave(self) -> None:
        """Settle, commit and leave the group, in bounded time."""
        try:
            async with asyncio.timeout_at(self._settle_until_s()), self._flights.lock:
                await self._settle_all()
        except TimeoutError:
            log.warning("not everything in hand could be settled in time; it will be read again")
        try:
            # With the broker away both may hang or fail.
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(self._reserve_s), self._flights.lock:
                    await self._commit()
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self._consumer.stop(), self._reserve_s)
        finally:
            if self._committing is not None:
                self._committing.cancel()
            self._flights.begin_epoch()

    def _settle_until_s(self) -> float:
        """Until when, on the loop's clock, what is in hand may be settled before we leave."""
        if self._stop.is_set():
            return self._stop_at_s - 2 * self._reserve_s
        return asyncio.get_running_loop().time() + _SETTLE_TIMEOUT_S

    async def _watch(self) -> None:
        """Keep the backlog gauge, and notice that Kafka is away also when nothing comes.

        Once in a while, when a broker was away and came back, aiokafka no longer learns where anything is, and every
        request of this consumer waits in vain. A new one finds out.
        """
        timeout_s = self._settings.kafka.request_timeout_ms / 1000
        unanswered = 0
        while unanswered < _UNANSWERED_LIMIT:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            partitions = self._consumer.assignment()
            try:
                async with asyncio.timeout(timeout_s):
                    ends = await self._consumer.end_offsets(partitions) if partitions else {}
                    unread = [end - await self._consumer.position(each) for each, end in ends.items()]
            except IllegalStateError:  # a rebalance came between
                continue
            except (KafkaError, TimeoutError) as error:
                self._waiting.note(error)
                unanswered += 1
            else:
                self._metrics.backlog.set(sum(unread))
                self._waiting.over()
                unanswered = 0
        self._failure = KafkaTimeoutError(f"no answer {unanswered} times in a row: the consumer is made anew")

    async def _unless_stopped(
        self, awaitable: Awaitable[_T], *, grace_until_s: Callable[[], float] | None = None
    ) -> _T | None:
        """Wait for ``awaitable``; give None, and cancel it, when the worker is stopped first.

        With ``grace_until_s`` it may, once stopped, still come to its end until then.
        """
        task = asyncio.ensure_future(awaitable)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and grace_until_s is not None:
                await asyncio.wait({task}, timeout=grace_until_s() - asyncio.get_running_loop().time())
            return task.result() if task.done() else None
        finally:
            stopped.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=self._reserve_s)

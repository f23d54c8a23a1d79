"""The consumer: joins the group, reads, hands batches to the writer, commits what is stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import TopicPartition

from pipeline.bounded import bounded, give_up, result_of
from pipeline.messages.topics import event_topics
from pipeline.pace import Pace
from pipeline.settings import Settings
from pipeline.worker.batches import batches_of
from pipeline.worker.commits import Commits
from pipeline.worker.flights import Flights, Flyable
from pipeline.worker.mapping import Record
from pipeline.worker.membership import REBALANCE_TIMEOUT_MS, end, new_consumer
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.positions import Positions
from pipeline.worker.waiting import Waiting
from pipeline.worker.watch import Watch

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_SETTLE_TIMEOUT_S = REBALANCE_TIMEOUT_MS / 1000 / 2  # in a rebalance, which must not wait for us for ever
_STOP_TIMEOUT_S = 5.0
_AGAIN_S = 0.01


class _Fetched(NamedTuple):
    """What one poll gave, and when, and under which assignment."""

    records: Mapping[TopicPartition, Sequence[Record]]
    fetched_ns: int
    epoch: int
    gather_s: float  # from then on, before the next poll


class BatchMaker(Protocol):
    """Cuts what was fetched into batches, as :func:`pipeline.worker.batches.batches_of` does."""

    def __call__(
        self,
        fetched: Mapping[TopicPartition, Sequence[Record]],
        *,
        fetched_ns: int,
        epoch: int,
        max_events: int,
        max_bytes: int,
    ) -> Iterator[Flyable]:
        """Return the batches, each when asked for."""
        ...


class GroupTask(NamedTuple):
    """What a group makes of the events: the worker's stores them, the dashboard's counts them.

    ``write`` returns when what the batch stands for is durable; ``loss`` ends the sentence "records were deleted".
    """

    write: Callable[[Any], Awaitable[None]]
    batches_of: BatchMaker = batches_of
    client_id: str = "tidemark-worker"
    loss: str = "they are not stored"


class EventConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One member of the group, from its first join until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        use: GroupTask,
        metrics: WorkerMetrics,
        *,
        on_assigned: Callable[[Mapping[str, Sequence[int]]], None],
    ) -> None:
        """``on_assigned`` is called at every assignment with the partitions by topic, maybe none."""
        self._settings = settings
        self._use = use
        self._metrics = metrics
        self._on_assigned = on_assigned
        self._topics = event_topics(settings.kafka)
        self._flights = Flights[Flyable](use.write, settings.worker.writes_in_flight)
        self._positions = Positions(metrics, self._move, use.loss)
        self._pace = Pace(settings.worker.linger_ms / 1000, settings.worker.batch_max_events)
        self._waiting = Waiting(f"Kafka at {settings.kafka.bootstrap_servers}", settings.worker.retry_pause_s)
        self._commits = Commits(self._flights, self._positions, self._waiting, settings.kafka.request_timeout_ms / 1000)
        self._watch = Watch(self._flights, self._positions, metrics, self._waiting)
        self._stop = asyncio.Event()
        self._stopped: asyncio.Future[bool]
        self._stop_at_s = 0.0
        # Of the time to stop, this much is for the last commit, and as much for leaving the group.
        self._reserve_s = min(settings.worker.shutdown_timeout_s / 8, _STOP_TIMEOUT_S)
        # A rebalance waits for it, and we send no heartbeats during it.
        self._take_over_timeout_s = (
            min(settings.kafka.request_timeout_ms, settings.worker.session_timeout_ms / 2) / 1000
        )
        self._consumer: AIOKafkaConsumer = None
        self._failure: Exception | None = None

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stop.is_set()

    def topic_id(self, partition: TopicPartition) -> str:
        """Return the id of the topic that ``partition`` belongs to, empty where the broker has none."""
        return self._positions.topic_id(partition)

    def stop(self) -> None:
        """Finish what is in hand, commit, leave the group; :meth:`run` then returns."""
        if not self._stop.is_set():
            self._stop_at_s = asyncio.get_running_loop().time() + self._settings.worker.shutdown_timeout_s
            self._stop.set()

    async def run(self) -> int:
        """Work until :meth:`stop`; return how many events in hand were left unsettled then.

        They are not committed, so their partitions' next owner reads them again.
        """
        unsettled = 0
        self._stopped = asyncio.ensure_future(self._stop.wait())
        while not self._stop.is_set():
            self._consumer = new_consumer(self._settings, self, self._use.client_id)
            self._commits.begin(self._consumer)
            self._failure = None
            try:
                await self._unless_stopped(self._consumer.start())
                await self._unless_stopped(self._consume(), grace_until_s=self._settle_until_s)
            except UnknownTopicOrPartitionError:
                topics = ", ".join(self._topics)
                self._waiting.note(f"not all of the topics {topics} exist; `./tidemark init` makes them")
            except KafkaError as error:
                self._waiting.note(error)
            except Exception as error:  # noqa: BLE001  # a worker outlives it: nothing is committed that is not stored
                self._waiting.note(error, unforeseen=True)
            finally:
                unsettled = await self._leave()
            await asyncio.wait({self._stopped}, timeout=self._settings.worker.retry_pause_s)
        return unsettled + await self._flights.abandon()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Settle and commit what is in flight, as long as these partitions are still ours."""
        try:
            async with asyncio.timeout(_SETTLE_TIMEOUT_S):
                await self._commits.settle_and_commit()
        except TimeoutError:
            log.warning("writes in flight were not settled in time: the next owner of %s reads again", sorted(revoked))
        except Exception as error:  # noqa: BLE001  # aiokafka logs and forgets it: the loop raises it instead
            self._failure = error
        finally:
            self._flights.begin_epoch()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Start at the group's position, and log what this worker reads from now on."""
        partitions: dict[str, list[int]] = {}
        for topic, partition in sorted(assigned):
            partitions.setdefault(topic, []).append(partition)
        self._metrics.rebalances.inc()
        self._metrics.assigned.set(len(assigned))
        log.info("assigned: %s", partitions or "nothing, as there are more workers than partitions")
        try:
            # Without the lock: in an outage of MongoDB it is held for long, and no heartbeats are sent here.
            await bounded(self._positions.take_over(self._consumer, assigned), self._take_over_timeout_s)
            self._on_assigned(partitions)
        except Exception as error:  # noqa: BLE001  # as above
            self._failure = error

    async def _consume(self) -> None:
        """Read, write and commit until stopped; raises KafkaError when only a new consumer helps."""
        worker = self._settings.worker
        answer_s = self._settings.kafka.request_timeout_ms / 1000
        watch = asyncio.ensure_future(self._watch.over(self._consumer, answer_s))
        try:
            while not self._stop.is_set():
                fetched = await self._unless_stopped(self._poll())
                if self._failure is not None:
                    raise self._failure
                if watch.done():
                    result_of(watch)
                if fetched is None or not fetched.records:
                    await self._commits.settle_and_commit(at_rest=fetched is not None)
                    continue
                batches = self._use.batches_of(
                    fetched.records,
                    fetched_ns=fetched.fetched_ns,
                    epoch=fetched.epoch,
                    max_events=worker.batch_max_events,
                    max_bytes=worker.batch_max_bytes,
                )
                for batch in batches:
                    self._metrics.fetched.inc(batch.events)
                    await self._commits.make_room()
                    await self._flights.start(batch)
                    await self._commits.settle_what_is_done()
                if fetched.gather_s:
                    await self._gather(fetched)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _poll(self) -> _Fetched | None:
        """Fetch; if Kafka has no record at our positions, move them and return None."""
        try:
            return await self._fetch()
        except NoOffsetForPartitionError:  # this assignment is still to be taken over
            await asyncio.sleep(_AGAIN_S)
        except OffsetOutOfRangeError as error:
            missed: dict[TopicPartition, int] = error.args[0]
            await bounded(self._positions.recover(self._consumer, missed), self._take_over_timeout_s)
        return None

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
        await self._commits.make_room()
        left_s = fetched.fetched_ns / 1e9 + fetched.gather_s - time.monotonic()
        if left_s > 0:
            await asyncio.wait({self._stopped}, timeout=left_s)

    def _move(self, moves: Mapping[TopicPartition, int]) -> None:
        """Read from there, and commit nothing fetched before: the next owner would start at the wrong place."""
        if moves:
            self._flights.begin_epoch()
        for each, offset in moves.items():
            self._consumer.seek(each, offset)
            self._flights.reached(each, offset)

    async def _leave(self) -> int:
        """Settle, commit and leave the group, in bounded time; return how many events in hand could not be settled.

        Raises nothing: it may be a failed write that ended the consumer.
        """
        unsettled = 0
        try:
            async with asyncio.timeout_at(self._settle_until_s()):
                await self._commits.settle_all()
        except TimeoutError:
            log.warning("not everything in hand could be settled in time; it will be read again")
        except Exception as error:  # noqa: BLE001  # it is read again
            self._waiting.note(error, unforeseen=True)
            unsettled = await self._flights.abandon()
            self._flights.begin_epoch()  # later batches than the failed one must not be committed
        # If the broker is away, the commit and the end may hang or fail.
        try:
            await bounded(self._commits.commit(), self._reserve_s)
        except Exception as error:  # noqa: BLE001  # as above
            log.info("the last commit failed: %s", str(error) or type(error).__name__)
        await end(self._consumer, self._reserve_s)
        await self._commits.give_up()
        self._flights.begin_epoch()
        return unsettled

    def _settle_until_s(self) -> float:
        """Until when, on the loop's clock, what is in hand may be settled before we leave."""
        if self._stop.is_set():
            return self._stop_at_s - 2 * self._reserve_s
        return asyncio.get_running_loop().time() + _SETTLE_TIMEOUT_S

    async def _unless_stopped(
        self, awaitable: Awaitable[_T], *, grace_until_s: Callable[[], float] | None = None
    ) -> _T | None:
        """Wait for ``awaitable``; return None, and cancel it, when the worker is stopped first.

        With ``grace_until_s`` it may, once stopped, still come to its end until then.
        """
        task = asyncio.ensure_future(awaitable)
        either: set[asyncio.Future[Any]] = {task, self._stopped}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and grace_until_s is not None:
                await asyncio.wait({task}, timeout=grace_until_s() - asyncio.get_running_loop().time())
            return result_of(task) if task.done() else None
        finally:
            if not task.done():
                await give_up(task, self._reserve_s)

"""One aiokafka producer with a sender for each broker: made, used, and given up as a whole once it fails."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.structs import TopicPartition

from pipeline.errors import UnavailableError
from pipeline.ingest.admission import Reservation
from pipeline.ingest.publishing.brokersender import BrokerSender, PartitionBatch, Queue
from pipeline.ingest.publishing.submission import DeadlineQueue, Records, Submission
from pipeline.ingest.slices import TimeSlices
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings

RETRY_AFTER_S = 2
"""When a client should try again while Kafka is away."""

_BATCH_BYTES = 512 * 1024  # half of what a broker takes by default (message.max.bytes)
_METADATA_MAX_AGE_MS = 60_000  # how long until a new number of partitions is noticed
_GIVE_UP_S = 2.0
_ASK_AGAIN_S = 1.0
_MAX_KEYS = 65_536
_SHORT_USER = 36  # characters: a thousand of them take 20 ms at most
_MOST_CLIENTS = 0.5  # of those connected: when so many wait, the next round need not wait for the others

_log = logging.getLogger(__name__)
_partitioner = DefaultPartitioner()


class _Keys(dict[str, tuple[bytes, Queue]]):
    """For one topic, of each user met: the key of their records, and the queue of the partition that it decides.

    The partition is the one that aiokafka's partitioner (the Java client's murmur2) gives, which costs 2 to 6 us.
    """

    def __init__(self, topic: str, partitions: tuple[int, ...], queue_to: Callable[[TopicPartition], Queue]) -> None:
        super().__init__()
        self.partitions = partitions
        self._topic = topic
        self._queue_to = queue_to

    def __missing__(self, user: str) -> tuple[bytes, Queue]:
        key = user.encode()
        chosen: int = _partitioner(key, self.partitions, self.partitions)
        if len(self) >= _MAX_KEYS:
            self.clear()
        found = self[user] = key, self._queue_to(TopicPartition(self._topic, chosen))
        return found


class Connection:
    """A started producer and its broker senders, until one of these fails."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, clients: Callable[[], int]) -> None:
        """Made by :func:`connect`."""
        self._clients = clients
        self._producer = producer
        self._api = settings.api
        self._topics = event_topics(settings.kafka)
        self._cluster = producer.client.cluster
        self._cluster.add_listener(self._learn)
        self._cluster.failed_update = self._nobody_answers
        self._deadlines = DeadlineQueue(settings.api.publish_timeout_s)
        self._keys: dict[str, _Keys] = {}  # of each topic that is there
        self._broker_senders: dict[int, BrokerSender] = {}  # of each broker
        self._queues: dict[TopicPartition, Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def publish(self, records: Records, timestamp_ms: int, reservation: Reservation) -> Submission:
        """Queue ``records``, ``reservation`` with them; those whose topic is missing fail at once."""
        keys = self._keys
        batches: list[PartitionBatch | str] = []  # for a record whose topic is missing, that topic
        for topic, user, message in zip(records.topics, records.users, records.messages, strict=True):
            of_topic = keys.get(topic)
            if of_topic is None:
                of_topic = self._keys_of(topic)
                if of_topic is None:
                    batches.append(topic)
                    continue
            key, queue = of_topic[user]
            batches.append(queue.add(key, message, timestamp_ms))
        submission = Submission(batches, reservation, self._deadlines)
        for batch in set(batches):
            if isinstance(batch, PartitionBatch):
                batch.submissions.append(submission)
            else:
                submission.settle(batch, self.missing_topic(batch))
        if self._deadlines.waiting + 1 >= self._clients() * _MOST_CLIENTS:
            for broker_sender in self._broker_senders.values():
                broker_sender.flush()
        return submission

    async def prepare(self, records: Records, slices: TimeSlices) -> None:
        """Find the partitions of users with long names, in slices: a name of 1 kB takes 0.2 ms."""
        if max(map(len, records.users)) <= _SHORT_USER:
            return
        with slices.work() as work:
            work.begin()
            for topic, user in zip(records.topics, records.users, strict=True):
                of_topic = self._keys.get(topic) or self._keys_of(topic)
                if of_topic is not None:
                    of_topic[user]  # remembers it
                if work.is_due:
                    await work.pause()

    def missing_topics(self) -> tuple[str, ...]:
        """The topics of the settings that Kafka does not have, as far as is known; asks it again, but not now."""
        missing = tuple(topic for topic in self._topics if not self._partitions(topic))
        if missing and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask_again())
        return missing

    @staticmethod
    def missing_topic(topic: str) -> str:
        """The message about a topic that is not there."""
        return f"Kafka has no topic {topic}: make it with `./tidemark init`"

    async def failure(self) -> BaseException:
        """Wait until the producer can no longer be used, and return the reason."""
        return await asyncio.shield(self._failed)

    async def ask(self, timeout_s: float) -> None:
        """Ask a broker for its metadata; raises TimeoutError or KafkaError where none answers."""
        async with asyncio.timeout(timeout_s):
            await self._producer.client.fetch_all_metadata()

    async def close(self, timeout_s: float) -> None:
        """End it after the events in hand: what is acknowledged within ``timeout_s`` is, the rest fails."""
        done = asyncio.gather(*(broker_sender.idle.wait() for broker_sender in self._broker_senders.values()))
        await asyncio.wait((done, self._failed), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        await self.give_up("the API is stopping")

    async def give_up(self, reason: str) -> None:
        """Drop the producer with all it holds: every event not acknowledged by now counts as failed."""
        for task in self._tasks:
            task.cancel()
        if self._asking is not None:
            self._asking.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for broker_sender in self._broker_senders.values():
            broker_sender.fail(reason)
        await _drop(self._producer)

    def _partitions(self, topic: str) -> tuple[int, ...]:
        # In the order of a set of small integers, as the producer itself would list them.
        return tuple(self._cluster.partitions_for_topic(topic) or ())

    def _keys_of(self, topic: str) -> _Keys | None:
        """The keys of a topic that was not met yet; None where Kafka does not have it."""
        partitions = self._partitions(topic)
        if not partitions:
            self.missing_topics()
            return None
        keys = self._keys[topic] = _Keys(topic, partitions, self._queue_to)
        return keys

    def _learn(self, _: ClusterMetadata) -> None:
        """Forget the keys of a topic whose partitions are others by now."""
        for topic, keys in tuple(self._keys.items()):
            if keys.partitions != self._partitions(topic):
                del self._keys[topic]

    def _queue_to(self, to: TopicPartition) -> Queue:
        """The queue of a partition, at the broker that leads it now; should another later, it still will do."""
        queue = self._queues.get(to)
        if queue is None:
            leader = self._cluster.leader_for_partition(to)
            broker_sender = self._broker_senders.get(leader) or self._broker_sender(leader)
            queue = self._queues[to] = broker_sender.queue(to)
        return queue

    def _broker_sender(self, leader: int) -> BrokerSender:
        timeout_s, linger_s = self._api.publish_timeout_s, self._api.linger_ms / 1000
        broker_sender = self._broker_senders[leader] = BrokerSender(
            self._producer, linger_s=linger_s, timeout_s=timeout_s
        )
        task = asyncio.create_task(broker_sender.run(), name=f"sender to broker {leader}")
        self._tasks.add(task)
        task.add_done_callback(self._broker_sender_ended)
        return broker_sender

    def _broker_sender_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_result(error)

    def _nobody_answers(self, exception: BaseException | None) -> None:
        """Give up at once if no broker answers; the client asks all of them whenever a connection breaks.

        If one of several answers, the producer continues and looks for the partitions' new leaders.
        """
        type(self._cluster).failed_update(self._cluster, exception)
        if not self._failed.done():
            self._failed.set_result(KafkaConnectionError("no broker can be reached"))

    async def _ask_again(self) -> None:
        """Have the producer learn of topics made since; at most once a while, whoever asks."""
        await self._producer.client.force_metadata_update()
        await asyncio.sleep(_ASK_AGAIN_S)


def _fail_all(accumulator: MessageAccumulator, exception: BaseException) -> None:
    """Like aiokafka's method, but without the KeyErrors that its callbacks raise for batches that wait for a retry.

    Each would be a traceback in the log: the callbacks remove these batches from the pending ones, where they are not.
    """
    for batches in accumulator._batches.values():  # noqa: SLF001 - nothing public does it
        accumulator._pending_batches.update(batches)  # noqa: SLF001
    MessageAccumulator.fail_all(accumulator, exception)


async def connect(settings: Settings, clients: Callable[[], int]) -> Connection:
    """Return a connection to Kafka, its topics known; ``clients`` returns how many are connected to us.

    Raises:
        UnavailableError: Kafka does not answer as it should within ``kafka.request_timeout_ms``.
    """
    kafka, api = settings.kafka, settings.api
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        client_id="tidemark-api",
        acks="all" if api.acks == "all" else int(api.acks),
        # aiokafka refuses the two together: with fewer acknowledgements a retry may store an event twice.
        enable_idempotence=api.acks == "all",
        compression_type=None if api.compression == "none" else api.compression,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=kafka.request_timeout_ms,
        metadata_max_age_ms=_METADATA_MAX_AGE_MS,
    )
    accumulator = producer._message_accumulator  # noqa: SLF001
    accumulator.fail_all = functools.partial(_fail_all, accumulator)
    try:
        async with asyncio.timeout(kafka.request_timeout_ms / 1000):
            await producer.start()
            await producer.client.set_topics(event_topics(kafka))
    except (KafkaError, TimeoutError, OSError) as error:
        await _drop(producer)
        reason = f"Kafka at {kafka.bootstrap_servers} does not answer: {error or type(error).__name__}"
        raise UnavailableError(reason, RETRY_AFTER_S) from error
    except asyncio.CancelledError:
        await _drop(producer)
        raise
    return Connection(settings, producer, clients)


async def _drop(producer: AIOKafkaProducer) -> None:
    """Close ``producer`` without a word more to Kafka, also where its own ``stop`` would wait for ever."""
    # stop() flushes first, and with the broker away that does not end; nothing public does less.
    producer._message_accumulator.fail_all(KafkaConnectionError("given up"))  # noqa: SLF001
    sender = producer._sender.sender_task  # noqa: SLF001
    if sender is not None:
        # It ends with an error, as its batches are gone, and what aiokafka would do about that fails in turn.
        sender.remove_done_callback(producer._sender._fail_all)  # noqa: SLF001
        sender.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GIVE_UP_S):
            await producer.client.close()
            if sender is not None:
                await asyncio.wait((sender,))
    if sender is not None and sender.done() and not sender.cancelled():
        sender.exception()  # whatever it died of: it was asked to end
    producer._closed = True  # noqa: SLF001  # or its finaliser complains

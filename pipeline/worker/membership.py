"""One membership of the group: aiokafka's consumer, from its creation to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from pipeline.bounded import bounded
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings

log = logging.getLogger(__name__)

REBALANCE_TIMEOUT_MS = 30_000
# Longer than any outage that we wait out: a worker that waits for MongoDB stays in its group.
_MAX_POLL_INTERVAL_MS = 24 * 3600 * 1000
_RETRY_S = 0.1
_METADATA_MAX_AGE_MS = 5_000  # how long a new topic or partition may go unnoticed


def new_consumer(settings: Settings, listener: ConsumerRebalanceListener, client_id: str) -> AIOKafkaConsumer:
    """Return a consumer of the event topics that is not started yet; Kafka shows its ``client_id``."""
    kafka, worker = settings.kafka, settings.worker
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=worker.group_id,
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="none",  # Positions decides where to begin, and logs a jump over deleted records
        isolation_level="read_committed",  # an aborted record was never sent
        fetch_min_bytes=worker.fetch_min_bytes,
        fetch_max_wait_ms=worker.fetch_max_wait_ms,
        max_partition_fetch_bytes=worker.max_partition_fetch_bytes,
        request_timeout_ms=max(kafka.request_timeout_ms, worker.fetch_max_wait_ms + 1_000),
        session_timeout_ms=worker.session_timeout_ms,
        heartbeat_interval_ms=max(worker.session_timeout_ms // 4, 1),
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
        metadata_max_age_ms=_METADATA_MAX_AGE_MS,
    )
    consumer.subscribe(topics=list(event_topics(settings.kafka)), listener=listener)
    return consumer


async def commit(consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
    """Commit ``offsets`` as the member that this consumer is now, or not at all.

    aiokafka's own commit waits for a rebalance, and retries. If the member is out of its group by then, aiokafka
    commits as a client outside any group, which Kafka accepts while the group is empty. If it has joined again, Kafka
    accepts the commit of the new member. In both cases offsets that others have advanced would go back.

    Raises:
        CommitFailedError: we are not in the group, or not the same member any more.
        KafkaError: the broker refused, and a retry does not help.
    """
    coordinator = consumer._coordinator  # noqa: SLF001  # the generation is known nowhere else
    generation = coordinator.generation
    if generation <= 0:
        raise CommitFailedError("out of the group")

    async def once() -> None:
        # Between this check and the making of the request nothing else runs.
        if coordinator.generation != generation:
            raise CommitFailedError("no longer the same member of the group")
        await coordinator._do_commit_offsets(None, offsets)  # noqa: SLF001

    while True:
        await coordinator.ensure_coordinator_known()
        try:
            async with coordinator._commit_lock:  # noqa: SLF001  # not while a rebalance is under way
                await asyncio.shield(once())
        except (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError) as error:
            raise CommitFailedError(str(error)) from error
        except KafkaError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(_RETRY_S)
        else:
            return


async def end(consumer: AIOKafkaConsumer, timeout_s: float) -> None:
    """Leave the group and close the connections, in bounded time, in any state of the consumer.

    If the broker is away, ``stop()`` may hang or fail half way, and the old heartbeats and fetches would continue for
    ever beside those of the next consumer. So we then end its parts one by one.
    """
    try:
        await bounded(consumer.stop(), timeout_s)
    except Exception as error:  # noqa: BLE001  # in any case the pieces are ended
        log.info("the consumer did not end in order: %s", str(error) or type(error).__name__)
        coordinator, fetcher = getattr(consumer, "_coordinator", None), getattr(consumer, "_fetcher", None)
        pieces: list[Any] = [
            getattr(coordinator, "_stop_heartbeat_task", None),
            getattr(coordinator, "_stop_commit_offsets_refresh_task", None),
            getattr(fetcher, "close", None),
            getattr(getattr(consumer, "_client", None), "close", None),
        ]
        for each in pieces:
            if each is not None:
                try:
                    await bounded(each(), timeout_s)
                except Exception as failed:  # noqa: BLE001  # as above
                    log.info("%s: %s", each.__qualname__, str(failed) or type(failed).__name__)

"""The second consumer group: counts every event of Kafka into the documents of minutes and days."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from aiokafka.structs import TopicPartition
from msgspec import structs
from pymongo.errors import DuplicateKeyError, PyMongoError

from pipeline.dashboard.aggregate import DAY, SCALES, Aggregate, Scale, at, start_of
from pipeline.dashboard.database import Database
from pipeline.dashboard.rows import Counted, RowMaker, RowsOfMinute
from pipeline.dashboard.tally import FunnelCondition, Tallies
from pipeline.settings import Dashboard, Settings
from pipeline.worker.consumer import EventConsumer, GroupTask
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.waiting import Waiting

log = logging.getLogger(__name__)

_BATCH_MAX_EVENTS = 20_000
# Kafka answers once there is a megabyte, or after a second: few large batches instead of many small ones.
_FETCH_MIN_BYTES = 1024 * 1024
_FETCH_MAX_WAIT_MS = 1_000
_LINGER_MS = 1_000
_RETRY_PAUSE_S = 1.0
_CONFLICT_PAUSE_S = 0.05
_REMEMBERED = 8
_BROKEN = -1  # the version of a document that is replaced whatever it is
_AHEAD_MS = DAY.length_ms

Key = tuple[Scale, int]


class AggregateWriter:
    """Writes batches into the documents that they belong to, each record at most once."""

    def __init__(self, database: Database, dashboard: Dashboard) -> None:
        self._database = database
        self._steps = [FunnelCondition.parse(each) for each in dashboard.funnel]
        self._kept = kept(dashboard)
        self._known: OrderedDict[Key, Aggregate] = OrderedDict()
        self._waiting = Waiting(database.where, _RETRY_PAUSE_S)
        self.left_out = 0
        """Records whose own time is longer ago than documents are kept, or a day ahead."""

    async def write(self, batch: Counted) -> None:
        """Count ``batch``; return once it is durably in every document that it belongs to.

        Waits as long as MongoDB is away; cancel it to give up.
        """
        now_ms, tallies = time.time_ns() // 1_000_000, Tallies(self._steps)
        for scale in SCALES:
            for start_ms, parts in self._by_document(scale, batch.parts, now_ms).items():
                await self._apply((scale, start_ms), parts, tallies)

    def _by_document(
        self, scale: Scale, parts: Sequence[RowsOfMinute], now_ms: int
    ) -> Mapping[int, list[RowsOfMinute]]:
        oldest_ms = now_ms - self._kept[scale] // timedelta(milliseconds=1)
        found: dict[int, list[RowsOfMinute]] = {}
        for part in parts:
            if oldest_ms <= part.minute_ms <= now_ms + _AHEAD_MS:
                found.setdefault(start_of(scale, part.minute_ms), []).append(part)
            elif scale is DAY:
                self.left_out += len(part.rows)
                log.info("%d records of %s are too old or too new to count", len(part.rows), part.partition)
        return found

    async def _apply(self, key: Key, parts: Sequence[RowsOfMinute], tallies: Tallies) -> None:
        """Count ``parts`` into one document, as often as it takes until the document has them."""
        while True:
            try:
                known = self._known.get(key) or await self._load(key)
                new = known.with_parts(parts, tallies)
                if new is None or await self._replace(new):
                    self._remember(key, new or known)
                    self._waiting.over()
                    return
                # Another member of the group, or one that was thought dead, has written it meanwhile.
                self._known.pop(key, None)
                await asyncio.sleep(random.uniform(0, _CONFLICT_PAUSE_S))  # noqa: S311  so that two do not keep step
            except PyMongoError as error:
                # It may have been written all the same: the document itself says so when it is read again.
                self._known.pop(key, None)
                await self._waiting.pause(error)

    async def _load(self, key: Key) -> Aggregate:
        scale, start_ms = key
        document = await self._database.aggregates(scale).find_one({"_id": at(start_ms)})
        if document is None:
            return Aggregate(scale, start_ms)
        try:
            return Aggregate.from_document(scale, document)
        except (ValueError, KeyError, TypeError):
            log.exception("the document %s of %s cannot be read and is begun anew", document["_id"], scale.suffix)
            broken = Aggregate(scale, start_ms)
            broken.version = _BROKEN
            return broken

    async def _replace(self, new: Aggregate) -> bool:
        """Write ``new`` in place of the version that it was made from; False if that is not there any more."""
        collection = self._database.aggregates(new.scale)
        before, new.version = new.version, max(new.version, 0) + 1
        document = new.to_document(at(new.start_ms + new.scale.length_ms) + self._kept[new.scale])
        if before:
            same = {} if before == _BROKEN else {"version": before}
            done = await collection.replace_one({"_id": document["_id"], **same}, document)
            return done.matched_count == 1
        try:
            await collection.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    def _remember(self, key: Key, aggregate: Aggregate) -> None:
        self._known[key] = aggregate
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


class Aggregator:
    """The member of the group that runs in the dashboard's process."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """``settings``: those of the pipeline; the consumer's own are made of them."""
        self._writer = AggregateWriter(database, settings.dashboard)
        use = GroupTask(
            self._writer.write,
            RowMaker(self._topic_id),
            client_id="tidemark-dashboard",
            loss="they are not counted in the dashboard",
        )
        self._consumer = EventConsumer(_own(settings), use, WorkerMetrics(), on_assigned=_say)

    def _topic_id(self, partition: TopicPartition) -> str:
        return self._consumer.topic_id(partition)

    async def run(self) -> None:
        """Count until :meth:`stop`."""
        await self._consumer.run()

    def stop(self) -> None:
        """Finish what is in hand, commit, leave the group."""
        self._consumer.stop()


def kept(dashboard: Dashboard) -> dict[Scale, timedelta]:
    """Return how long the documents of each scale are kept."""
    return dict(
        zip(SCALES, (timedelta(hours=dashboard.minutes_kept_h), timedelta(days=dashboard.days_kept)), strict=True)
    )


def _own(settings: Settings) -> Settings:
    worker = structs.replace(
        settings.worker,
        group_id=settings.dashboard.group_id,
        batch_max_events=_BATCH_MAX_EVENTS,
        writes_in_flight=1,
        linger_ms=_LINGER_MS,
        fetch_min_bytes=_FETCH_MIN_BYTES,
        fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
        shutdown_timeout_s=settings.dashboard.shutdown_timeout_s,
    )
    return structs.replace(settings, worker=worker)


def _say(partitions: Mapping[str, Sequence[Any]]) -> None:
    count = sum(map(len, partitions.values()))
    sys.stdout.write(f"dashboard counts: {count} partitions\n")
    sys.stdout.flush()

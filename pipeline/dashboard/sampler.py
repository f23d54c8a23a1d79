"""Samples the delivery latency: some events a second are watched from Kafka until MongoDB has them.

It costs the workers nothing: a consumer outside every group reads a record as it arrives, and its ``_id``, which
follows from the message, is looked for until a read of the majority finds it. Latency is from the record's timestamp
(the receipt by the API) to that read. So it is too long by the way of the read and by the pause between two looks:
10 ms, or a twentieth of the event's age.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from bson import ObjectId
from msgspec import Struct
from pymongo.errors import PyMongoError

from pipeline.bounded import bounded
from pipeline.dashboard import latencies
from pipeline.dashboard.aggregate import at
from pipeline.dashboard.database import Database
from pipeline.dashboard.rows import MINUTE_MS
from pipeline.errors import InvalidEventError
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings
from pipeline.worker.mapping import Record, document_of
from pipeline.worker.waiting import Waiting

log = logging.getLogger(__name__)

_LOOK_S = 0.01
_LOOK_SHARE = 0.05
_GIVE_UP_S = 120.0
_MOST_PENDING = 200
_WAIT_MS = 1_000
_MOST_FETCHED = 500  # of a batch in Kafka: one of them is chosen
_SAVE_S = 5.0
_RETRY_PAUSE_S = 2.0
_START_S = 10.0
_METADATA_MAX_AGE_MS = 30_000


class Watched(Struct):
    """An event that is looked for: when it was received (Unix ms), and when to look next (monotonic s)."""

    received_ms: int
    seen_s: float
    look_at_s: float


class Unseen(Struct, frozen=True):
    """Sampled events that are not in MongoDB: still looked for, since when the oldest, and given up in this process.

    Given up are those that MongoDB has not after two minutes: a dead letter, or a delay longer than that.
    """

    waiting: int = 0
    oldest_s: float = 0.0
    given_up: int = 0


class Sampler:
    """Samples until it is cancelled; waits for whatever part is away."""

    def __init__(self, settings: Settings, database: Database, kept: timedelta) -> None:
        """``kept``: how long the histograms stay in MongoDB."""
        self._settings = settings
        self._database = database
        self._kept = kept
        self._interval_s = 1 / settings.dashboard.samples_per_s
        self._process = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._watched: dict[ObjectId, Watched] = {}
        self._minutes: dict[int, latencies.Buckets] = {}
        self._given_up = 0
        self._waiting_for_kafka = Waiting(f"Kafka at {settings.kafka.bootstrap_servers}", _RETRY_PAUSE_S)
        self._waiting_for_mongo = Waiting(database.where, _RETRY_PAUSE_S)

    @property
    def unseen(self) -> Unseen:
        """What was sampled and not found yet."""
        now_ms = time.time_ns() / 1e6
        oldest_ms = min((each.received_ms for each in self._watched.values()), default=now_ms)
        return Unseen(len(self._watched), max(0.0, (now_ms - oldest_ms) / 1000), self._given_up)

    async def run(self) -> None:
        """Sample, look and save, side by side."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sample())
            group.create_task(self._look())
            group.create_task(self._save())

    async def _sample(self) -> None:
        while True:
            kafka = self._settings.kafka
            consumer = AIOKafkaConsumer(  # without a group it has all partitions of its topics, new ones too
                *event_topics(kafka),
                bootstrap_servers=kafka.bootstrap_servers,
                group_id=None,
                client_id="tidemark-dashboard-sampler",
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="latest",
                fetch_max_bytes=1,  # a batch comes whole all the same, but only one
                max_partition_fetch_bytes=1,
                fetch_max_wait_ms=_WAIT_MS // 2,
                request_timeout_ms=kafka.request_timeout_ms,
                metadata_max_age_ms=_METADATA_MAX_AGE_MS,
            )
            try:
                await bounded(consumer.start(), _START_S)
                await self._sample_with(consumer)
            except (KafkaError, TimeoutError, OSError) as error:
                self._waiting_for_kafka.note(error)
            finally:
                with contextlib.suppress(KafkaError, TimeoutError, OSError):
                    await bounded(consumer.stop(), _START_S)
            await asyncio.sleep(_RETRY_PAUSE_S)

    async def _sample_with(self, consumer: AIOKafkaConsumer) -> None:
        timeout_s = self._settings.kafka.request_timeout_ms / 1000
        while True:
            found = list(consumer.assignment())
            if found and len(self._watched) < _MOST_PENDING:
                ends: Mapping[TopicPartition, int] = await bounded(consumer.end_offsets(found), timeout_s)
                for each, end in ends.items():
                    consumer.seek(each, end)  # what comes from now on
                consumer.resume(*found)
                got = await bounded(consumer.getmany(timeout_ms=_WAIT_MS, max_records=_MOST_FETCHED), timeout_s)
                consumer.pause(*found)
                self._waiting_for_kafka.over()
                self._watch(got)
            await asyncio.sleep(self._interval_s)

    def _watch(self, fetched: Mapping[TopicPartition, Sequence[Record]]) -> None:
        records = [record for some in fetched.values() for record in some]
        if not records:
            return
        record = random.choice(records)  # noqa: S311  a sample
        with contextlib.suppress(InvalidEventError):  # no worker stores it
            now_s = time.monotonic()
            self._watched[document_of(record)["_id"]] = Watched(record.timestamp, now_s, now_s)

    async def _look(self) -> None:
        events = self._database.durable_events
        while True:
            await asyncio.sleep(_LOOK_S)
            now_s = time.monotonic()
            due = [identifier for identifier, each in self._watched.items() if each.look_at_s <= now_s]
            if not due:
                continue
            try:
                found = await events.find({"_id": {"$in": due}}, {"_id": 1}).to_list()
            except PyMongoError as error:
                await self._waiting_for_mongo.pause(error)
                continue
            self._waiting_for_mongo.over()
            self._note({each["_id"] for each in found}, due)

    def _note(self, found: set[Any], due: Sequence[ObjectId]) -> None:
        now_ms, now_s = time.time_ns() / 1e6, time.monotonic()
        for identifier in due:
            watched = self._watched[identifier]
            age_s = now_s - watched.seen_s
            if identifier in found:
                del self._watched[identifier]
                minute_ms = int(now_ms) // MINUTE_MS * MINUTE_MS
                latencies.add(self._minutes.setdefault(minute_ms, latencies.empty()), now_ms - watched.received_ms)
            elif age_s > _GIVE_UP_S:
                del self._watched[identifier]
                self._given_up += 1
            else:
                watched.look_at_s = now_s + max(_LOOK_S, age_s * _LOOK_SHARE)

    async def _save(self) -> None:
        """Write each minute's histogram whole: writing it twice changes nothing."""
        while True:
            await asyncio.sleep(_SAVE_S)
            for minute_ms in sorted(self._minutes):
                document = {
                    "_id": f"{minute_ms}/{self._process}",
                    "at": at(minute_ms),
                    "expires_at": at(minute_ms) + self._kept,
                    "buckets": self._minutes[minute_ms],
                }
                try:
                    await self._database.latencies.replace_one({"_id": document["_id"]}, document, upsert=True)
                except PyMongoError as error:
                    self._waiting_for_mongo.note(error)
                    break
                if minute_ms + MINUTE_MS < time.time_ns() // 1_000_000:
                    del self._minutes[minute_ms]
            while len(self._minutes) > _MOST_PENDING:  # MongoDB is away for hours
                del self._minutes[min(self._minutes)]

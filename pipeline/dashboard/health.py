"""How the pipeline is, as Kafka sees it: what was accepted, what each group has left to read, and who reads."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from pipeline.bounded import bounded
from pipeline.dashboard.groups import describe
from pipeline.dashboard.view import Group, Health, Partition
from pipeline.messages.topics import event_topics
from pipeline.provision import partition_counts
from pipeline.settings import Settings

_ANSWER_S = 5.0
_STOP_S = 2.0
_MOST_SHOWN = 500
"""Of partitions and of members: a page with more is of no use to anyone."""


class _Clients(NamedTuple):
    consumer: AIOKafkaConsumer
    admin: AIOKafkaAdminClient


class HealthReader:
    """Asks Kafka; connects when it is first asked, and anew after a failure."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._roles = {settings.worker.group_id: "workers store", settings.dashboard.group_id: "the dashboard counts"}
        self._clients: _Clients | None = None

    async def read(self) -> Health:
        """Return what there is now.

        Raises:
            KafkaError, TimeoutError, OSError: Kafka did not answer in time.
            KeyError: a topic is not there.
        """
        try:
            return await bounded(self._read(), _ANSWER_S)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connections, in bounded time."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await _end(clients)

    async def _read(self) -> Health:
        consumer, admin = await self._connected()
        topics, dead_letters = event_topics(self._kafka), self._kafka.dead_letter_topic
        counts = await partition_counts(admin)
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(counts[topic])]
        dead = [TopicPartition(dead_letters, number) for number in range(counts[dead_letters])]
        ends, firsts = await asyncio.gather(
            consumer.end_offsets(partitions + dead), consumer.beginning_offsets(partitions + dead)
        )
        groups: list[Group] = []
        shown: list[Partition] = []
        hidden = 0
        all_described = await asyncio.gather(*(describe(admin, name, partitions) for name in self._roles))
        for (name, role), described in zip(self._roles.items(), all_described, strict=True):
            rows = []
            for each in partitions:
                # Without a commit, a reader begins with the first record that is there.
                done = max(described.committed.get(each, 0), firsts[each])
                backlog, member = max(0, ends[each] - done), described.owners.get(each, "")
                rows.append(Partition(name, each.topic, each.partition, ends[each], done, backlog, member))
            backlog = sum(row.backlog for row in rows)
            members = described.members
            more = max(0, len(members) - _MOST_SHOWN)
            groups.append(Group(name, role, described.state, members[:_MOST_SHOWN], backlog, more))
            if len(rows) > _MOST_SHOWN:
                rows.sort(key=lambda row: -row.backlog)
            shown += rows[:_MOST_SHOWN]
            hidden += max(0, len(rows) - _MOST_SHOWN)
        return Health(
            accepted=sum(ends[each] for each in partitions),
            dead_letters=sum(ends[each] - firsts[each] for each in dead),
            groups=groups,
            partitions=shown,
            hidden_partitions=hidden,
        )

    async def _connected(self) -> _Clients:
        if self._clients is None:
            servers, timeout_ms = self._kafka.bootstrap_servers, int(_ANSWER_S * 1000)
            # Subscribed to nothing: it asks for offsets, and fetches no record.
            clients = _Clients(
                AIOKafkaConsumer(
                    bootstrap_servers=servers,
                    group_id=None,
                    client_id="tidemark-dashboard-health",
                    isolation_level="read_committed",
                    request_timeout_ms=timeout_ms,
                ),
                AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=timeout_ms),
            )
            try:
                await clients.consumer.start()
                await clients.admin.start()
            except BaseException:
                await _end(clients)
                raise
            self._clients = clients
        return self._clients


async def _end(clients: _Clients) -> None:
    for closing in (clients.consumer.stop, clients.admin.close):
        with contextlib.suppress(KafkaError, TimeoutError, OSError, AttributeError):
            await bounded(closing(), _STOP_S)

"""The witness's eyes: reads from MongoDB, by ``_id``, which of the events that it sent are there.

A thread of its own with PyMongo's plain client: a poll costs half of what one costs on an event loop. One query asks
for all that is outstanding, none is asked for otherwise, and what is long in coming is asked for less often.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from bson.objectid import ObjectId
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bench.evidence.sightings import SightingsWriter
from pipeline.settings import Mongo
from traffic.ledger import NO_TIME

POLL_S = 0.01
SLOWEST_POLL_S = 0.1
WAIT_S = 30.0  # an event that is not there so long after it was sent is given up
MAX_OUTSTANDING = 256
_AGE_SHARE = 10  # an event is looked for again after a tenth of the time that it has taken so far
_NS = 1_000_000_000


@dataclass
class Outstanding:
    """An event that was sent and not read yet; times in ns from the epoch."""

    sequence: int
    document_id: bytes
    sent_ns: int
    missed_ns: int = NO_TIME


class Collected:
    """The collection as a reader sees it who wants what is durable."""

    def __init__(self, mongo: Mongo) -> None:
        """Connect lazily."""
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            mongo.uri,
            appname="tidemark-witness",
            maxPoolSize=1,
            serverSelectionTimeoutMS=mongo.timeout_ms,
            socketTimeoutMS=mongo.timeout_ms,
        )
        self._database = self._client[mongo.database]
        self._collection = mongo.collection
        # A write that is acknowledged by fewer nodes may be readable for a majority only later.
        self._level = "majority" if mongo.write_concern == "majority" else "local"

    def there(self, wanted: Sequence[bytes]) -> Collection[bytes]:
        """Return those of ``wanted``, the bytes of an ``_id`` each, that can be read from the primary now.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        reply = self._database.command(
            {
                "find": self._collection,
                "filter": {"_id": {"$in": list(map(ObjectId, wanted))}},
                "projection": {"_id": 1},
                "batchSize": len(wanted) + 1,
                "singleBatch": True,
                "readConcern": {"level": self._level},
            }
        )
        return {each["_id"].binary for each in reply["cursor"]["firstBatch"]}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class DocumentPoller:
    """Looks for events until each was read or given up: :meth:`run` in a thread, the rest from another one."""

    def __init__(self, collected: Collected, log: SightingsWriter, now_ns: Callable[[], int]) -> None:
        """``now_ns``: the time from the epoch. ``log`` is closed when all is over."""
        self._collected = collected
        self._log = log
        self._now_ns = now_ns
        self._new: queue.SimpleQueue[Outstanding | None] = queue.SimpleQueue()
        self._flush = threading.Event()
        self._outstanding: dict[int, Outstanding] = {}
        self.seen = 0

    def watch(self, event: Outstanding) -> None:
        """Look for ``event`` too."""
        self._new.put(event)

    def no_more(self) -> None:
        """All events are known: :meth:`run` ends with the last of them."""
        self._new.put(None)

    def flush(self) -> None:
        """Look once more and end; call :meth:`no_more` before."""
        self._flush.set()

    def run(self) -> None:
        """Poll; every event has its sighting in the log when this returns."""
        while self._take():
            self._flush.wait(self._pause_s())  # first: what was accepted this very moment is not stored yet
            self._look()
            if self._flush.is_set():
                break
        for each in list(self._outstanding.values()):
            self._close(each, NO_TIME)
        self._log.close()

    def _take(self) -> bool:
        """Take what is new, and wait for it if nothing is outstanding; False when nothing is left and nothing comes."""
        while not (self._outstanding and self._new.empty()):
            event = self._new.get()
            if event is None:
                self._new.put(None)  # it stays the last
                return bool(self._outstanding)
            if len(self._outstanding) >= MAX_OUTSTANDING:
                self._close(next(iter(self._outstanding.values())), NO_TIME)
            self._outstanding[event.sequence] = event
        return True

    def _pause_s(self) -> float:
        """How long until the next poll, by the oldest event."""
        oldest = next(iter(self._outstanding.values()))
        return min(max(POLL_S, (self._now_ns() - oldest.sent_ns) / _NS / _AGE_SHARE), SLOWEST_POLL_S)

    def _look(self) -> None:
        """Ask once for all that is outstanding."""
        asked = list(self._outstanding.values())
        began_ns = self._now_ns()
        try:
            there = self._collected.there([each.document_id for each in asked])
        except PyMongoError as error:
            sys.stdout.write(f"a poll was not answered: {error}\n")  # and says nothing of any event
            there = None
        ended_ns = self._now_ns()
        for each in asked:
            if there is not None and each.document_id in there:
                self._close(each, ended_ns)
                continue
            if there is not None:
                each.missed_ns = began_ns
            if ended_ns - each.sent_ns > WAIT_S * _NS:
                self._close(each, NO_TIME)

    def _close(self, event: Outstanding, seen_ns: int) -> None:
        """Note what became of an event."""
        del self._outstanding[event.sequence]
        self.seen += seen_ns != NO_TIME
        self._log.sighting(event.sequence, event.missed_ns, seen_ns)

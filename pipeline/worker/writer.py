"""The bulk writer: a batch becomes documents and dead letters, and only then is it done."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import bson
from bson.errors import BSONError

from pipeline.store import (
    Cause,
    Document,
    InsertReply,
    RefusedDocumentsError,
    Store,
    StoreAwayError,
    TooLargeError,
    UnencodableError,
)
from pipeline.worker.batches import Batch, Refusal
from pipeline.worker.dead_letters import DeadLetters
from pipeline.worker.deliveries import DeliveriesLog
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.waiting import Waiting

log = logging.getLogger(__name__)

_timestamp_of = attrgetter("timestamp")
_Refused = dict[int, tuple[str, str]]  # place in the batch: reason and detail
_Part = tuple[list[Document], Sequence[int]]  # documents, and their places in the batch


class BatchWriter:
    """Writes batches; several may be in flight at once."""

    def __init__(
        self,
        store: Store,
        dead_letters: DeadLetters,
        metrics: WorkerMetrics,
        deliveries: DeliveriesLog | None,
        *,
        store_name: str,
        retry_pause_s: float,
    ) -> None:
        """``store_name`` is how log lines name MongoDB; ``retry_pause_s`` lies between two attempts."""
        self._store = store
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._deliveries = deliveries
        self._waiting = Waiting(store_name, retry_pause_s)
        self._incomplete = Waiting(f"{store_name} to take every document", retry_pause_s)

    async def write(self, batch: Batch) -> None:
        """Store ``batch``; return when each record is durably stored or dead-lettered.

        Waits as long as MongoDB or the dead-letter topic is away; cancel it to give up.
        """
        refused = await self._store_all(batch.documents) if batch.documents else {}
        acknowledged_ns = time.monotonic_ns()
        stored = len(batch.documents) - len(refused)
        self._metrics.stored.inc(stored)
        if self._deliveries is not None and stored:
            self._record(self._deliveries, batch, refused, acknowledged_ns)
        refusals = [*batch.refusals, *(Refusal(batch.records[at], *why) for at, why in refused.items())]
        if refusals:
            await self._dead_letters.publish(refusals)
            for refusal in refusals:
                self._metrics.dead_letters.labels(refusal.reason).inc()
        self._metrics.batches.inc()

    async def _store_all(self, documents: list[Document]) -> _Refused:
        """Insert ``documents``; give those that never will be stored, by place, with reason and detail."""
        refused: _Refused = {}
        work: list[_Part] = [(documents, range(len(documents)))]
        while work:
            work += await self._attempt(*work.pop(), refused)
        return refused

    async def _attempt(self, documents: list[Document], places: Sequence[int], refused: _Refused) -> list[_Part]:
        """Insert ``documents``, whose places in the batch are ``places``; give what is left to insert."""
        try:
            reply = await self._acknowledged(documents)
        except UnencodableError as error:
            return _encodable(documents, places, refused, error)
        except (TooLargeError, RefusedDocumentsError) as error:
            if len(documents) == 1:
                reason = "too_large" if isinstance(error, TooLargeError) else "refused"
                refused[places[0]] = (reason, str(error))
                return []
            middle = len(documents) // 2
            return [(documents[middle:], places[middle:]), (documents[:middle], places[:middle])]
        return await self._left_over(reply, documents, places, refused)

    async def _acknowledged(self, documents: list[Document]) -> InsertReply:
        """Insert ``documents`` as one command, as often as it takes until it is acknowledged."""
        while True:
            try:
                reply = await self._store.insert(documents)
            except StoreAwayError as error:
                self._metrics.retries.inc()
                await self._waiting.pause(error)
            else:
                self._waiting.over()
                return reply

    async def _left_over(
        self, reply: InsertReply, documents: list[Document], places: Sequence[int], refused: _Refused
    ) -> list[_Part]:
        """Decide on each document that was not written: there already, never, or once more."""
        again = []
        same_id = []
        for error in reply.errors:
            if error.cause is Cause.SAME_ID:
                same_id.append(error.position)
            elif error.cause is Cause.CONTENT:
                refused[places[error.position]] = ("refused", error.message)
            else:
                again.append(error.position)
        cause = f"{reply.errors[-1].message}" if again else "known by _id, but not durable yet"
        if same_id:
            again += await self._compare(same_id, documents, places, refused)
        if not again:
            self._incomplete.over()
            return []
        self._metrics.retries.inc()
        await self._incomplete.pause(f"{len(again)} of {len(documents)} documents are not written: {cause}")
        return [([documents[at] for at in again], [places[at] for at in again])]

    async def _compare(
        self,
        same_id: Sequence[int],
        documents: list[Document],
        places: Sequence[int],
        refused: _Refused,
    ) -> list[int]:
        """Compare with what is stored under the same ``_id``; give those that are not there after all.

        Not there: the one that was met is not durable yet, or was deleted in between.
        """
        stored = await self._found([documents[at]["_id"] for at in same_id])
        absent = []
        for at in same_id:
            there = stored.get(documents[at]["_id"])
            if there is None:
                absent.append(at)
            elif same_content(there, documents[at]):
                self._metrics.duplicates.inc()
            else:
                self._metrics.conflicts.inc()
                detail = f"another event is stored under _id {documents[at]['_id']}"
                refused[places[at]] = ("id_conflict", detail)
                log.error("%s: kept as a dead letter", detail)
        return absent

    async def _found(self, identifiers: list[Any]) -> dict[Any, bytes]:
        while True:
            try:
                found = await self._store.find(identifiers)
            except StoreAwayError as error:
                await self._waiting.pause(error)
            else:
                self._waiting.over()
                return found

    @staticmethod
    def _record(deliveries: DeliveriesLog, batch: Batch, refused: _Refused, acknowledged_ns: int) -> None:
        identifiers = batch.identifiers
        timestamps_ms = list(map(_timestamp_of, batch.records))
        if refused:
            kept = [at for at in range(len(identifiers)) if at not in refused]
            identifiers = [identifiers[at] for at in kept]
            timestamps_ms = [timestamps_ms[at] for at in kept]
        deliveries.events(batch.fetched_ns, acknowledged_ns, identifiers, timestamps_ms)


def same_content(stored: bytes, document: Document) -> bool:
    """Whether the BSON that is ``stored`` is ``document``; the order of names within it does not count."""
    if stored == bson.encode(document):
        return True
    there: Document = bson.decode(stored)
    return bson.encode(_sorted(there)) == bson.encode(_sorted(document))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(each) for each in value]
    return value


def _encodable(
    documents: list[Document], places: Sequence[int], refused: _Refused, cause: UnencodableError
) -> list[_Part]:
    """Try each document alone; give those that fit BSON, add the others to ``refused``.

    Raises:
        UnencodableError: each fits alone, so that trying again would fail again.
    """
    kept = []
    for at, document in enumerate(documents):
        try:
            bson.encode(document)
        except (BSONError, OverflowError, RecursionError, ValueError) as error:
            refused[places[at]] = ("unencodable", str(error))
        else:
            kept.append(at)
    if len(kept) == len(documents):
        raise cause
    return [([documents[at] for at in kept], [places[at] for at in kept])] if kept else []

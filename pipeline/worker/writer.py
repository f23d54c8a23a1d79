"""The bulk writer: a batch becomes documents and dead letters, and only then is it done."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from pipeline.observer import Observer
from pipeline.store import (
    Cause,
    CommandFailedError,
    Document,
    Identifier,
    InsertReply,
    Store,
    StoreAwayError,
    TooLargeError,
    UnencodableError,
    expect_encodable,
)
from pipeline.worker.batches import MappedBatch, RefusedRecord
from pipeline.worker.content import same_content
from pipeline.worker.dead_letters import DeadLetters
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.waiting import Waiting

log = logging.getLogger(__name__)

_timestamp_of = attrgetter("timestamp")
_Refused = dict[int, tuple[str, str]]  # place in the batch: reason and detail


class _Part(NamedTuple):
    """Documents and their places in the batch; ``proven``: they failed, and the server took a control write since."""

    documents: list[Document]
    places: Sequence[int]
    proven: bool = False

    def select(self, positions: Sequence[int], *, proven: bool = False) -> _Part:
        """Return those at ``positions``."""
        return _Part([self.documents[at] for at in positions], [self.places[at] for at in positions], proven)

    def halves(self) -> list[_Part]:
        """Return both halves, the second first because work is taken from the end; nothing for a single document."""
        if len(self.documents) == 1:
            return []
        middle = len(self.documents) // 2
        return [
            _Part(self.documents[middle:], self.places[middle:]),
            _Part(self.documents[:middle], self.places[:middle]),
        ]


class BatchWriter:
    """Writes batches; several may be in flight at once."""

    def __init__(
        self,
        store: Store,
        dead_letters: DeadLetters,
        metrics: WorkerMetrics,
        observer: Observer | None,
        *,
        store_name: str,
        retry_pause_s: float,
    ) -> None:
        """``store_name`` is how log lines name MongoDB; ``retry_pause_s`` lies between two attempts."""
        self._store = store
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._observer = observer
        self._waiting = Waiting(store_name, retry_pause_s)
        self._incomplete = Waiting(f"{store_name} to take every document", retry_pause_s)

    async def write(self, batch: MappedBatch) -> None:
        """Store ``batch``; return when each record is durably stored or dead-lettered.

        Waits as long as MongoDB or the dead-letter topic is away; cancel it to give up.
        """
        refused = await self._store_all(batch) if batch.documents else {}
        acknowledged_ns = time.monotonic_ns()
        stored = len(batch.documents) - len(refused)
        self._metrics.stored.inc(stored)
        if self._observer is not None and stored:
            self._report(self._observer, batch, refused, acknowledged_ns)
        refusals = [*batch.refusals, *(RefusedRecord(batch.records[at], *why) for at, why in refused.items())]
        if refusals:
            await self._dead_letters.publish(refusals)
            for refusal in refusals:
                self._metrics.dead_letters.labels(refusal.reason).inc()
        self._metrics.batches.inc()

    async def _store_all(self, batch: MappedBatch) -> _Refused:
        """Insert the documents of ``batch``; return those that can never be stored, by place, with the reason."""
        refused: _Refused = {}
        work = [_Part(batch.documents, range(len(batch.documents)))]
        while work:
            work += await self._attempt(work.pop(), batch, refused)
        return refused

    async def _attempt(self, part: _Part, batch: MappedBatch, refused: _Refused) -> list[_Part]:
        """Insert ``part`` of ``batch``; return what is left to insert."""
        try:
            reply = await self._store.insert(part.documents)
        except UnencodableError as error:
            kept = _encodable(part, refused)
            if kept is not None:
                return kept
            await self._pause(error)  # each fits alone, so the documents are not the cause
        except TooLargeError as error:
            if len(part.documents) == 1:
                refused[part.places[0]] = ("too_large", str(error))
            return part.halves()
        except CommandFailedError as error:
            if await self._proven_writable(str(error)):
                return part.halves() or await self._judge(part, [(0, str(error))], batch, refused)
        except StoreAwayError as error:
            await self._pause(error)
        else:
            self._waiting.over()
            return await self._left_over(reply, part, batch, refused)
        return [part._replace(proven=False)]

    async def _left_over(self, reply: InsertReply, part: _Part, batch: MappedBatch, refused: _Refused) -> list[_Part]:
        """Decide on each document that was not written: there already, never, or once more."""
        by_cause = {cause: [each for each in reply.errors if each.cause is cause] for cause in Cause}
        left = []
        words = "known by _id, but not durable yet"
        again = [each.position for each in by_cause[Cause.SERVER]]
        if again:
            words = by_cause[Cause.SERVER][-1].message
        if by_cause[Cause.SAME_ID]:
            positions = [each.position for each in by_cause[Cause.SAME_ID]]
            again += await self._compare(positions, part, batch, refused)
        doubtful = [(each.position, each.message) for each in by_cause[Cause.UNKNOWN]]
        if doubtful:
            if await self._proven_writable(doubtful[-1][1]):
                left += await self._judge(part, doubtful, batch, refused)
            else:
                left.append(part.select([at for at, _ in doubtful]))
        if again:
            self._metrics.retries.inc()
            await self._incomplete.pause(f"{len(again)} of {len(part.documents)} documents are not written: {words}")
            left.append(part.select(again))
        else:
            self._incomplete.over()
        return left

    async def _judge(
        self, part: _Part, doubtful: Sequence[tuple[int, str]], batch: MappedBatch, refused: _Refused
    ) -> list[_Part]:
        """Decide on documents of ``part`` that failed although the server takes writes; each with its error message.

        A document that failed for the first time is tried once more. If it fails again, between two control writes, its
        content is refused, unless it is stored already: a rule may be newer than the document.
        """
        if not part.proven:
            return [part.select([at for at, _ in doubtful], proven=True)]
        absent = set(await self._compare([at for at, _ in doubtful], part, batch, refused))
        for at, message in doubtful:
            if at in absent:
                refused[part.places[at]] = ("refused", message)
        return []

    async def _proven_writable(self, cause: str) -> bool:
        """Whether the server takes a control write; if not, log it and pause. ``cause``: its error for documents."""
        try:
            await self._store.prove_writable()
        except StoreAwayError as error:
            await self._pause(f"{cause}; a control write fails too: {error}")
            return False
        return True

    async def _pause(self, cause: Exception | str) -> None:
        self._metrics.retries.inc()
        await self._waiting.pause(cause)

    async def _compare(self, positions: Sequence[int], part: _Part, batch: MappedBatch, refused: _Refused) -> list[int]:
        """Compare with what is stored under the same ``_id``; return those of ``positions`` that are not there.

        Not there: the one that was met is not durable yet, or was deleted in between.
        """
        stored = await self._found([part.documents[at]["_id"] for at in positions])
        absent = []
        for at in positions:
            document, place = part.documents[at], part.places[at]
            there = stored.get(document["_id"])
            if there is None:
                absent.append(at)
            elif same_content(there, document, batch.records[place].timestamp):
                self._metrics.duplicates.inc()
            else:
                self._metrics.conflicts.inc()
                detail = f"another event is stored under _id {document['_id']}"
                refused[place] = ("id_conflict", detail)
                log.error("%s: kept as a dead letter", detail)
        return absent

    async def _found(self, identifiers: Sequence[Identifier]) -> Mapping[Identifier, bytes]:
        while True:
            try:
                found = await self._store.find(identifiers)
            except StoreAwayError as error:
                await self._waiting.pause(error)
            else:
                self._waiting.over()
                return found

    @staticmethod
    def _report(observer: Observer, batch: MappedBatch, refused: _Refused, acknowledged_ns: int) -> None:
        identifiers = batch.identifiers
        timestamps_ms = list(map(_timestamp_of, batch.records))
        if refused:
            kept = [at for at in range(len(identifiers)) if at not in refused]
            identifiers = [identifiers[at] for at in kept]
            timestamps_ms = [timestamps_ms[at] for at in kept]
        observer.stored(batch.fetched_ns, acknowledged_ns, identifiers, timestamps_ms)


def _encodable(part: _Part, refused: _Refused) -> list[_Part] | None:
    """Try each document alone; return those that can be encoded, add the others to ``refused``. None: all can be."""
    kept = []
    for at, document in enumerate(part.documents):
        try:
            expect_encodable(document)
        except UnencodableError as error:
            refused[part.places[at]] = ("unencodable", str(error))
        else:
            kept.append(at)
    if len(kept) == len(part.documents):
        return None
    return [part.select(kept)] if kept else []

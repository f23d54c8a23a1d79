"""The steps that an event goes through, each as a function that can be timed alone.

What is timed is the project's code, found by import; what goes in is made here, so that two revisions of the project
are given the same. Every call of a step handles ``EVENTS`` events. It imports nothing but the project, inside of the
functions: where a revision lacks what one step needs, the others can be timed all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

EVENTS = 1_000
BATCH = 100
"""Events of a request, where a step is one of batches."""
PARTITIONS = 4
UNIX_MS = 1_764_158_400_000
_TYPES = ("page_view", "signup", "add_to_cart", "purchase")
_USERS = 500
_LEAST_LOGGED_BYTES, _LEAST_ENCODED_BYTES = 8, 100

Call = Callable[[], Any]


@dataclass(frozen=True)
class Step:
    """One step. ``role``: whose CPU it costs. ``make``: returns the function to time; it may write to the folder given.

    ``check``: whether what the function returned is the work done.
    """

    name: str
    role: str
    does: str
    make: Callable[[Path], Call]
    check: Callable[[Any], bool]


def messages() -> list[bytes]:
    """Return events as clients send them and as Kafka has them, the two are the same JSON: about 200 bytes each."""
    chance = random.Random(1)  # noqa: S311 - the same events every time, and no secret
    return [_message(chance, number) for number in range(EVENTS)]


def _message(chance: random.Random, number: int) -> bytes:
    kind, user, page = chance.choice(_TYPES), chance.randrange(_USERS), chance.randrange(40)
    low = f"{0x8 << 60 | number:016x}"
    return (
        f'{{"event":"{kind}","user_id":"user-{user:05d}","props":{{"url":"/product/{page}","ref":"newsletter",'
        f'"tidemark":{number}}},"timestamp":"2025-11-26T12:00:00.{number % 1000:03d}Z",'
        f'"event_id":"{UNIX_MS >> 16:08x}-{UNIX_MS & 0xFFFF:04x}-7{number & 0xFFF:03x}-{low[:4]}-{low[4:]}"}}'
    ).encode()


def _record(offset: int, value: bytes) -> Any:
    from aiokafka.structs import ConsumerRecord

    return ConsumerRecord(
        topic="events_page_view",
        partition=0,
        offset=offset,
        timestamp=UNIX_MS,
        timestamp_type=0,
        key=b"user",
        value=value,
        checksum=None,
        serialized_key_size=4,
        serialized_value_size=len(value),
        headers=(),
    )


def records() -> list[Any]:
    """Return the same events as a worker gets them from aiokafka."""
    return [_record(offset, value) for offset, value in enumerate(messages())]


def _make_events(_: Path) -> Call:
    from traffic.content import Content
    from traffic.spec import Traffic

    content = Content(Traffic(), seed=1, run=1)
    return lambda: content.encode_many(0, 0, EVENTS, UNIX_MS)


def _ledger(folder: Path) -> Call:
    from traffic.ledger import LedgerHead, LedgerWriter, Outcome
    from traffic.spec import LoadSpec

    head = LedgerHead(LoadSpec(run=1), index=0, count=1, epoch_monotonic_ns=0, epoch_unix_ns=0, pid=0)
    path = folder / "ledger.log"
    writer = LedgerWriter(path, head)
    accepted = int(Outcome.ACCEPTED)

    def write() -> int:
        os.truncate(path, 0)  # what is timed many times must not fill the disk
        record = writer.record
        for sequence in range(EVENTS):
            record(sequence, 1, 1_000_000, 1_100_000, 9_000_000, accepted)
        writer.flush()
        return path.stat().st_size

    return write


def _bodies() -> list[bytes]:
    events = messages()
    return [b'{"events":[' + b",".join(events[at : at + BATCH]) + b"]}" for at in range(0, EVENTS, BATCH)]


def _read_batch(_: Path) -> Call:
    from pipeline.ingest.reading import EventReader
    from pipeline.settings import Settings

    bodies = _bodies()
    read = EventReader(Settings()).batch
    return lambda: [message for body in bodies if (taken := read(body, UNIX_MS)) for message in taken.records.messages]


def _read_one(_: Path) -> Call:
    from pipeline.ingest.reading import EventReader
    from pipeline.settings import Settings

    given = messages()
    read = EventReader(Settings()).one
    return lambda: [read(message, UNIX_MS)[0] for message in given]


def _split(_: Path) -> Call:
    from pipeline.ingest.batches import BatchReader

    bodies = _bodies()
    split = BatchReader(EVENTS).split
    return lambda: [event for body in bodies for event in split(body)]


def _decode_batch(_: Path) -> Call:
    from pipeline.messages.events import usual_events

    bodies = _bodies()
    return lambda: [event for body in bodies for event in usual_events(body, 1_000) or ()]


def _decode(_: Path) -> Call:
    from pipeline.messages.events import read_event

    given = messages()
    return lambda: [read_event(message) for message in given]


def _event_id(_: Path) -> Call:
    from pipeline.messages.identifiers import new_event_id

    return lambda: [new_event_id() for _ in range(EVENTS)]


def _encode(_: Path) -> Call:
    from pipeline.messages.events import message_of, read_event

    events = [read_event(message) for message in messages()]
    return lambda: [message_of(event) for event in events]


class _Sink:
    """A producer whose Kafka acknowledges at once: batches are aiokafka's own, and nothing is sent."""

    def __init__(self) -> None:
        topics = SimpleNamespace(
            partitions_for_topic=lambda _: set(range(PARTITIONS)),
            leader_for_partition=lambda _: 0,
            add_listener=lambda _: None,
        )
        self.client = SimpleNamespace(cluster=topics)

    def create_batch(self) -> Any:
        from aiokafka.producer.message_accumulator import BatchBuilder

        return BatchBuilder(512 * 1024, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[None]:  # noqa: ARG002 - aiokafka's form
        batch.close()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def _first(*names: str) -> Any:
    """Return the first of the modules ``names`` that the revision has."""
    for name in names[:-1]:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return importlib.import_module(names[-1])


def _publish(_: Path) -> Call:
    from pipeline.ingest.admission import Admission
    from pipeline.messages.events import read_event
    from pipeline.settings import Settings

    # In the folder `publishing`, or where an older revision has them.
    connections = _first("pipeline.ingest.publishing.connection", "pipeline.ingest.connection")
    submissions = _first("pipeline.ingest.publishing.submission", "pipeline.ingest.submission")
    requests = []
    for at in range(0, EVENTS, BATCH):
        given = messages()[at : at + BATCH]
        events = [read_event(message) for message in given]
        topics = [f"events_{event.event}" for event in events]
        requests.append(submissions.Records(topics, [event.user_id for event in events], given))
    admission = Admission(EVENTS, 1 << 30, shared=False)
    runner = asyncio.Runner()

    async def connect() -> Any:
        sink: Any = _Sink()
        return connections.Connection(Settings(), sink, lambda: 0)

    connection = runner.run(connect())

    async def publish() -> int:
        waiting = []
        for records in requests:
            hold = admission.open("")
            hold.exchange(BATCH, records.size_bytes)
            waiting.append(connection.publish(records, UNIX_MS, hold))
        return sum([BATCH for each in waiting if await each.wait() and not each.failures])

    return lambda: runner.run(publish())


def _answer_one(_: Path) -> Call:
    from pipeline.ingest.answers import accepted

    ids = [message[-38:-2].decode() for message in messages()]
    return lambda: [accepted(event_id) for event_id in ids]


def _answer_batch(_: Path) -> Call:
    from pipeline.ingest.answers import BatchAnswer, batch

    return lambda: [batch(BatchAnswer("ok", BATCH, []), 200, None) for _ in range(EVENTS // BATCH)]


def _map(_: Path) -> Call:
    from pipeline.worker.batches import batches_of

    given: Any = {"a partition": records()}

    def mapped() -> list[Any]:
        cut = batches_of(given, fetched_ns=1, epoch=1, max_events=2 * EVENTS, max_bytes=EVENTS * 1_000_000)
        return [document for batch in cut for document in batch.documents]

    return mapped


def _document_id(_: Path) -> Call:
    from pipeline.messages.identifiers import document_id

    ids = [(message[-38:-2].decode(), message) for message in messages()]
    return lambda: [
        document_id(event_id, topic="", partition=0, offset=0, timestamp_ms=UNIX_MS, value=value)
        for event_id, value in ids
    ]


def _bson(_: Path) -> Call:
    import bson

    from pipeline.settings import Mongo
    from pipeline.store.commands import concern_of, insert_command
    from pipeline.worker.mapping import document_of

    documents = [document_of(record) for record in records()]
    concern = concern_of(Mongo())
    return lambda: bson.encode(insert_command("analytics_events", documents, concern))


def _deliveries(folder: Path) -> Call:
    from pipeline.worker.mapping import document_of

    identifiers = [document_of(record)["_id"].binary for record in records()]
    stamps = [UNIX_MS] * len(identifiers)
    path = folder / "deliveries.log"
    try:
        from bench.recorder.recorder import Places, Recorder

        stored = Recorder(Places(deliveries=str(path)), "worker").stored
    except ImportError:  # an older revision's worker wrote it without an observer
        from pipeline.worker.deliveries import DeliveriesLog  # type: ignore[import-not-found, import-untyped, unused-ignore]

        stored = DeliveriesLog(path).events

    def write() -> int:
        os.truncate(path, 0)  # as in the ledger
        stored(1, 2, identifiers, stamps)
        return path.stat().st_size

    return write


def _are(number: int) -> Callable[[Any], bool]:
    return lambda found: len(found) == number


def _are_different(found: Any) -> bool:
    return len(set(found)) == EVENTS


def _is_written(size_bytes: Any) -> bool:
    return bool(size_bytes >= EVENTS * _LEAST_LOGGED_BYTES)


def _is_encoded(command: Any) -> bool:
    return len(command) > EVENTS * _LEAST_ENCODED_BYTES


STEPS = (
    Step("make-events", "generator", "encode events as JSON", _make_events, _are_different),
    Step("ledger", "generator", "record the outcome of requests of one event", _ledger, _is_written),
    Step(
        "read-one", "api", "from the body of one event to its record: decode, check, encode", _read_one, _are_different
    ),
    Step("read-batch", "api", "from the body of a batch of 100 to its records", _read_batch, _are_different),
    Step("decode-batch", "api", "decode and check a batch of 100 (part of read-batch)", _decode_batch, _are(EVENTS)),
    Step("encode", "api", "encode an event for Kafka (part of both)", _encode, _are_different),
    Step("event-id", "api", "make an event id, where the client gave none", _event_id, _are_different),
    Step("split", "api", "split a batch of 100, where it has an event that is not as most are", _split, _are(EVENTS)),
    Step("decode", "api", "decode and check such an event", _decode, _are(EVENTS)),
    Step("publish", "api", "group requests of 100 by partition into batches, and settle them", _publish, EVENTS.__eq__),
    Step("answer-one", "api", "make the answer to a request of one event", _answer_one, _are(EVENTS)),
    Step("answer-batch", "api", "make the answer to a request of 100", _answer_batch, _are(EVENTS // BATCH)),
    Step("map", "worker", "decode records and map them to documents, _id and all, in batches", _map, _are(EVENTS)),
    Step("document-id", "worker", "make the _id (part of map)", _document_id, _are_different),
    Step("bson", "worker", "encode the insert command of a batch", _bson, _is_encoded),
    Step("deliveries", "worker", "pack and append to the deliveries log", _deliveries, _is_written),
)

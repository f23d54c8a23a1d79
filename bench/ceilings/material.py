"""What the bare loops are fed with, made before their clocks start: the harness's events in every form they take."""

from __future__ import annotations

import gc
import time
from typing import NamedTuple

import numpy as np
from aiokafka.structs import ConsumerRecord
from msgspec import structs
from numpy.typing import NDArray

from pipeline.messages.topics import topic_of
from pipeline.settings import Kafka
from pipeline.store import Document
from pipeline.worker.mapping import document_of
from traffic.content import Content
from traffic.payload import BATCH_PATH, SINGLE_PATH
from traffic.spec import Traffic

SEED = 1
_RUN = 1
_STREAM = 0
_SMALLEST_EVENT_BYTES = 230
_MOST_BYTES = 256 * 1024 * 1024  # of the events of one repeat
_FEWEST_DIFFERENT = 64
_MOST_BATCH_BYTES = 8 * 1024 * 1024  # of one insert, as in a worker
_GC_THRESHOLDS = (200_000, 20, 50)  # a worker's


class Message(NamedTuple):
    """One event as the API hands it to Kafka."""

    topic: str
    key: bytes
    value: bytes


def event_bytes(traffic: Traffic) -> int:
    """Return about how large an event of ``traffic`` is."""
    return max(traffic.payload_bytes, _SMALLEST_EVENT_BYTES)


def bounded(traffic: Traffic) -> Traffic:
    """Return ``traffic`` with a table of contents that fits into memory: large events come round sooner."""
    most = max(_FEWEST_DIFFERENT, _MOST_BYTES // event_bytes(traffic))
    return structs.replace(traffic, table_events=min(traffic.table_events, most))


def fitting(events: int, traffic: Traffic) -> int:
    """Return how many of ``events`` a repeat takes, so that they fit into memory whatever their size."""
    return min(events, _MOST_BYTES // event_bytes(traffic))


def document_batches(traffic: Traffic, events: int, batch: int) -> list[list[Document]]:
    """Return ``events`` documents as a worker makes them, in batches of ``batch`` or as large as a worker's."""
    content = _content(traffic)
    size = max(1, min(batch, _MOST_BATCH_BYTES // event_bytes(traffic)))
    return [_documents(content, first, min(size, events - first)) for first in range(0, events, size)]


def requests(traffic: Traffic, events: int, batch: int, kafka: Kafka) -> list[list[Message]]:
    """Return ``events`` events as the API has them once it has read its requests of ``batch`` events."""
    content = _content(traffic)
    values = content.encode_many(_STREAM, 0, events, time.time_ns() // 1_000_000)
    steps = content.table.steps
    targets = [(topic_of(step.event_type, kafka), step.user_id.encode()) for step in steps]
    aimed = (targets[place] for place in _places(content, events).tolist())
    messages = [Message(topic, key, value) for (topic, key), value in zip(aimed, values, strict=True)]
    return [messages[first : first + batch] for first in range(0, events, batch)]


def http_requests(traffic: Traffic, number: int, batch: int, host: str) -> list[bytes]:
    """Return ``number`` whole HTTP requests of ``batch`` events each, or one by one where that is 1."""
    content, now_ms = _content(traffic), time.time_ns() // 1_000_000
    path = BATCH_PATH if batch > 1 else SINGLE_PATH
    found = []
    for first in range(0, number * batch, batch):
        body = (
            content.encode_batch(_STREAM, first, batch, now_ms) if batch > 1 else content.encode(_STREAM, first, now_ms)
        )
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        found.append(head.encode("ascii") + b"\r\n\r\n" + body)
    return found


def settle() -> None:
    """Have the garbage collector leave alone what was made until now, and be as seldom as in a worker."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _documents(content: Content, first: int, count: int) -> list[Document]:
    """Return documents of this moment: those of a drain are not all of one either."""
    now_ms = time.time_ns() // 1_000_000
    values = content.encode_many(_STREAM, first, count, now_ms)
    return [document_of(_record(at, value, now_ms)) for at, value in enumerate(values, first)]


def _record(offset: int, value: bytes, now_ms: int) -> ConsumerRecord:
    return ConsumerRecord("", 0, offset, now_ms, 0, None, value, None, -1, len(value), ())


def _content(traffic: Traffic) -> Content:
    return Content(traffic, SEED, _RUN)


def _places(content: Content, events: int) -> NDArray[np.int64]:
    sequences = np.arange(events, dtype=np.int64)
    return content.places(np.full_like(sequences, _STREAM), sequences)

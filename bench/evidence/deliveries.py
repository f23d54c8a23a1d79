"""What was delivered: the workers' deliveries logs of one repeat as one table, and who was assigned what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.recorder import deliverieslog as log
from bundle.result import Consumer
from traffic import recordlog

DELIVERY = np.dtype(
    [
        ("id_low", "<u8"),
        ("record_timestamp_ms", "<i8"),
        ("fetched_ns", "<i8"),
        ("acknowledged_ns", "<i8"),
        ("consumer", "<i2"),
    ]
)
_RECORD = np.dtype([("id_low", "<u8"), ("record_timestamp_ms", "<i8")])


Assignment = dict[str, tuple[int, ...]]  # topic to partitions


@dataclass(frozen=True)
class Deliveries:
    """``rows``: structured array of ``DELIVERY``, in the order settled by each consumer; absolute monotonic ns."""

    rows: NDArray[np.void]
    consumers: tuple[Consumer, ...]


def none() -> Deliveries:
    """Return those of a system that reports no stamps."""
    return Deliveries(np.zeros(0, dtype=DELIVERY), ())


def load(paths: Sequence[Path], assignments: Sequence[Assignment | None]) -> Deliveries:
    """Read the deliveries logs; a consumer is named after its file, and numbered in the order given.

    ``assignments``: what each had while it was measured (a worker that leaves returns all of it).

    Raises:
        CorruptLogError: a block in the middle of one is damaged.
    """
    tables, consumers = [], []
    for number, (path, partitions) in enumerate(zip(paths, assignments, strict=True)):
        table = _load_one(path, number)
        tables.append(table)
        consumers.append(consumer(path.stem, partitions or {}, len(table)))
    rows = np.concatenate(tables) if tables else np.zeros(0, dtype=DELIVERY)
    return Deliveries(rows, tuple(consumers))


def consumer(name: str, partitions: Assignment, records: int) -> Consumer:
    """Return one worker process: its assignment, and how many records it settled."""
    count = sum(len(numbers) for numbers in partitions.values())
    return Consumer(name=name, partitions=partitions, partition_count=count, records=records, idle=not partitions)


def assignment(path: Path) -> Assignment | None:
    """Return the last assignment that a worker wrote to its log so far, None if it has not joined yet."""
    found = None
    for block in recordlog.read_blocks(path) if path.exists() else ():
        if block.kind == log.ASSIGNMENT:
            found = {topic: tuple(numbers) for topic, numbers in sorted(json.loads(block.payload).items())}
    return found


def _load_one(path: Path, number: int) -> NDArray[np.void]:
    parts: list[NDArray[np.void]] = []
    for block in recordlog.read_blocks(path) if path.exists() else ():
        if block.kind == log.EVENTS:
            fetched_ns, acknowledged_ns = log.EVENTS_HEADER.unpack(block.header)
            records = np.frombuffer(block.payload, dtype=_RECORD)
            part = np.zeros(len(records), dtype=DELIVERY)
            part["id_low"], part["record_timestamp_ms"] = records["id_low"], records["record_timestamp_ms"]
            part["fetched_ns"], part["acknowledged_ns"], part["consumer"] = fetched_ns, acknowledged_ns, number
            parts.append(part)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=DELIVERY)

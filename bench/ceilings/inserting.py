"""The bare insert: prebuilt batches of documents, written as a worker writes them, so many under way at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque

import numpy as np

from bench.ceilings import material, meter
from bench.ceilings.meter import LoopMeasurement, Meter
from bench.ceilings.task import Deadline, Task
from bench.errors import RepeatError
from bench.evidence import durations
from pipeline.settings import Settings
from pipeline.store import Document, Store, open_store


async def measure(task: Task, settings: Settings) -> LoopMeasurement:
    """Insert the documents of ``task`` into the collection of ``settings``, which is there with its indexes.

    Raises:
        TidemarkError: MongoDB did not take a batch as a whole.
    """
    loop = task.loop
    wanted = material.fitting(loop.events + loop.warm_up, task.traffic)
    batches = deque(material.document_batches(task.traffic, wanted, loop.batch))
    warm_up = [batches.popleft() for _ in range(min(loop.warm_up // loop.batch, len(batches) // 2))]
    store = open_store(settings.mongo, loop.connections)
    try:
        await _insert(store, deque(warm_up), loop.connections, Deadline(task.longest_s))
        material.settle()
        reader = Meter(task.pids)
        before = reader.read()
        took_ns, events = await _insert(store, batches, loop.connections, Deadline(task.longest_s))
        after = reader.read()
    finally:
        await store.close()
    return meter.measured(before, after, events, durations.percentiles(np.array(took_ns, dtype=np.int64)))


async def _insert(
    store: Store, batches: deque[list[Document]], connections: int, deadline: Deadline
) -> tuple[list[int], int]:
    """Insert until nothing is left or the time is over; return what each write took (ns), and the events."""
    took_ns: list[int] = []
    events = 0

    async def feed() -> None:
        nonlocal events
        while batches and not deadline.passed:
            batch = batches.popleft()
            sent_ns = time.monotonic_ns()
            reply = await store.insert(batch)
            took_ns.append(time.monotonic_ns() - sent_ns)
            if reply.errors:
                refused = f"{len(reply.errors)} of {len(batch)} documents: {reply.errors[0].message}"
                raise RepeatError(f"MongoDB did not take {refused}")
            events += reply.inserted

    await asyncio.gather(*(feed() for _ in range(connections)))
    return took_ns, events

"""The worker's process: settings in, exit code out. Everything is built and taken down here."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Mapping, Sequence

import uvloop

from pipeline import logs, looplag, observer
from pipeline.brokenwrites import patch_aiokafka
from pipeline.errors import TidemarkError
from pipeline.messages.topics import event_topics
from pipeline.observer import Observer
from pipeline.settings import Settings
from pipeline.store import open_store
from pipeline.worker.consumer import EventConsumer, GroupTask
from pipeline.worker.dead_letters import DeadLetters
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.writer import BatchWriter

log = logging.getLogger(__name__)

_DONE, _UNSETTLED, _CRASHED = 0, 1, 3
_GC_THRESHOLDS = (200_000, 20, 50)  # a batch makes some ten thousand objects, and hardly a cycle


def run(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; return the exit code.

    0: everything in hand was stored and committed. 1: not within ``shutdown_timeout_s``, it will be
    read again. 2: a setting cannot be used or a part is missing. 3: a crash of our own.
    """
    logs.configure("aiokafka", "pymongo", "motor")
    logs.thin_out("aiokafka")
    patch_aiokafka()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_work(settings))
    except TidemarkError as error:
        log.error("%s", error)  # noqa: TRY400  # the message says what to do; a traceback would hide it
        return error.exit_code
    except Exception:
        log.exception("the worker crashed; what was not committed will be read again")
        return _CRASHED


async def _work(settings: Settings) -> int:
    worker, watching = settings.worker, observer.load(settings.observer, "worker")
    metrics = WorkerMetrics()
    store = open_store(settings.mongo, worker.writes_in_flight + 1)
    dead_letters = DeadLetters(settings.kafka, worker.retry_pause_s)
    writer = BatchWriter(
        store,
        dead_letters,
        metrics,
        watching,
        store_name=f"MongoDB at {settings.mongo.shown_uri}",
        retry_pause_s=worker.retry_pause_s,
    )
    consumer = EventConsumer(settings, GroupTask(writer.write), metrics, on_assigned=_Announcer(settings, watching))
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, consumer.stop)
    if worker.metrics_port:
        metrics.serve(worker.metrics_host, worker.metrics_port)
    _tune_garbage_collection()
    try:
        if watching is not None:
            await watching.before_join(lambda: consumer.stopping)
        async with looplag.watching(metrics.loop_lag.observe, watching):
            unsettled = await consumer.run()
    finally:
        await dead_letters.close()
        await store.close()
        if watching is not None:
            watching.close()
    if unsettled:
        log.warning("stopped with %d events in hand not stored for certain: they will be read again", unsettled)
    return _UNSETTLED if unsettled else _DONE


class _Announcer:
    """Tells of assignments: the first on stdout, each to the observer."""

    def __init__(self, settings: Settings, watching: Observer | None) -> None:
        topics = ", ".join(event_topics(settings.kafka))
        self._ready = f"worker ready: group {settings.worker.group_id}, topics {topics}"
        self._watching = watching

    def __call__(self, partitions: Mapping[str, Sequence[int]]) -> None:
        if self._watching is not None:
            self._watching.assigned(partitions)
        if self._ready:
            sys.stdout.write(self._ready + "\n")
            sys.stdout.flush()
            self._ready = ""


def _tune_garbage_collection() -> None:
    """What was made until now stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)

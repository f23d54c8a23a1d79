"""The worker's process: settings in, exit code out. Everything is built and taken down here."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from pipeline import looplag
from pipeline.brokenwrites import mend_aiokafka
from pipeline.errors import TidemarkError, UsageError
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings
from pipeline.store import open_store
from pipeline.worker.consumer import EventConsumer, Use
from pipeline.worker.dead_letters import DeadLetters
from pipeline.worker.deliveries import DeliveriesLog
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.waiting import RepeatFilter
from pipeline.worker.writer import BatchWriter

log = logging.getLogger(__name__)

_DONE, _UNSETTLED, _CRASHED = 0, 1, 3
_GATE_POLL_S = 0.02
_GC_THRESHOLDS = (200_000, 20, 50)  # a batch makes some ten thousand objects, and hardly a cycle


def run(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; give the exit code.

    0: everything in hand was stored and committed. 1: not within ``shutdown_timeout_s``, it will be
    read again. 2: a setting cannot be used or a part is missing. 3: a crash of our own.
    """
    _configure_logging()
    mend_aiokafka()
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
    worker = settings.worker
    metrics = WorkerMetrics()
    store = open_store(settings.mongo, worker.writes_in_flight + 1)
    dead_letters = DeadLetters(settings.kafka, worker.retry_pause_s)
    deliveries = _open_deliveries(worker.deliveries_path)
    writer = BatchWriter(
        store,
        dead_letters,
        metrics,
        deliveries,
        store_name=f"MongoDB at {settings.mongo.shown_uri}",
        retry_pause_s=worker.retry_pause_s,
    )
    consumer = EventConsumer(settings, Use(writer.write), metrics, on_assigned=_Announcer(settings, deliveries))
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, consumer.stop)
    if worker.metrics_port:
        metrics.serve(worker.metrics_host, worker.metrics_port)
    _tune_garbage_collection()
    watching_lag = looplag.watching(metrics.loop_lag.observe, worker.loop_lag_path, "PIPELINE_WORKER_LOOP_LAG_PATH")
    try:
        if worker.join_when_path:
            await _wait_for(Path(worker.join_when_path), consumer)
        async with watching_lag:
            unsettled = await consumer.run()
    finally:
        await dead_letters.close()
        await store.close()
        if deliveries is not None:
            deliveries.close()
    if unsettled:
        log.warning("stopped with %d events in hand not stored for certain: they will be read again", unsettled)
    return _UNSETTLED if unsettled else _DONE


async def _wait_for(path: Path, consumer: EventConsumer) -> None:
    """Return once there is a file at ``path``, or the worker is told to stop; it says that it waits."""
    sys.stdout.write(f"worker waits for {path}\n")
    sys.stdout.flush()
    while not (consumer.stopping or path.exists()):  # noqa: ASYNC110, ASYNC240 - a file sets no event; it is local
        await asyncio.sleep(_GATE_POLL_S)


class _Announcer:
    """Tells of assignments: the first on stdout, each in the deliveries log."""

    def __init__(self, settings: Settings, deliveries: DeliveriesLog | None) -> None:
        topics = ", ".join(event_topics(settings.kafka))
        self._ready = f"worker ready: group {settings.worker.group_id}, topics {topics}"
        self._deliveries = deliveries

    def __call__(self, partitions: Mapping[str, Sequence[int]]) -> None:
        if self._deliveries is not None:
            self._deliveries.assignment(time.monotonic_ns(), partitions)
        if self._ready:
            sys.stdout.write(self._ready + "\n")
            sys.stdout.flush()
            self._ready = ""


def _open_deliveries(path: str) -> DeliveriesLog | None:
    if not path:
        return None
    try:
        return DeliveriesLog(Path(path))
    except OSError as error:
        message = f"PIPELINE_WORKER_DELIVERIES_PATH={path!r} cannot be written ({error.strerror}): name another file"
        raise UsageError(message) from error


def _configure_logging() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("aiokafka", "pymongo", "motor"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter("aiokafka"))


def _tune_garbage_collection() -> None:
    """What was made until now stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)

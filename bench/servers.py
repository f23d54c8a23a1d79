"""Kafka and MongoDB for a run: started for it and stopped after it, or the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import structs

from bench.system import NICENESS
from pipeline.local.stack import LocalStack
from pipeline.settings import Settings

# A group forms only once all of its workers are there: no consumer gets a head start. They are let in together
# (bench/system.py), and each that comes within this time of the one before it is waited for.
_REBALANCE_DELAY_MS = 300


@dataclass(frozen=True)
class Servers:
    """Kafka and MongoDB as the run uses them; ``pids`` by role and ``versions``, empty where they are not ours.

    ``kafka_counters_url``: where Kafka tells its own counters; empty where it is not ours.
    """

    settings: Settings
    pids: Mapping[str, list[int]]
    versions: Mapping[str, str]
    kafka_counters_url: str = ""


@contextlib.contextmanager
def at_hand(
    settings: Settings, logs_dir: Path, on_progress: Callable[[str], None], *, local: bool
) -> Iterator[Servers]:
    """Give the servers that ``settings`` name or, if ``local``, some started on this machine for the block.

    Raises:
        MissingPartError, ProcessFailedError: they cannot be had, or did not come up.
    """
    if not local:
        yield Servers(settings, {}, {})
        return
    stack = LocalStack(
        settings.local,
        logs_dir=logs_dir,
        group_initial_rebalance_delay_ms=_REBALANCE_DELAY_MS,
        niceness=NICENESS,
        kafka_counters=True,
    )
    try:
        stack.start(on_progress)
        started = structs.replace(
            settings,
            kafka=structs.replace(settings.kafka, bootstrap_servers=stack.kafka_bootstrap_servers),
            mongo=structs.replace(settings.mongo, uri=stack.mongo_uri),
        )
        pids = {"kafka": [stack.kafka.pid], "mongodb": [stack.mongod.pid]}
        yield Servers(started, pids, msgspec.to_builtins(stack.versions), stack.kafka_counters_url)
    finally:
        stack.stop()

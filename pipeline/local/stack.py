"""Kafka and MongoDB together: started, ready, stopped, and nothing left behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from pipeline.errors import MissingPartError, ProcessFailedError
from pipeline.local import agent, mongodb
from pipeline.local import kafka as broker
from pipeline.local.jars import KAFKA_VERSION, agent_jar, cache_folder, kafka_jars, unusable
from pipeline.local.parts import Program, find_java, find_mongod
from pipeline.local.ports import HOST, claim, free_port
from pipeline.local.process import ChildProcess
from pipeline.settings import Local

_STOP_GRACE_S = 20.0


class Versions(Struct, frozen=True):
    """What runs, as each part tells it."""

    kafka: str
    mongod: str
    java: str


class LocalStack:
    """A Kafka broker and a mongod on the loopback address of this machine.

    ``start`` blocks until both serve, ``stop`` until both are gone; both may be called from any
    thread, and from within a running event loop. Where this process dies, its guards stop the
    servers and remove their data.
    """

    def __init__(
        self,
        local: Local,
        *,
        logs_dir: Path,
        kafka_port: int = 0,
        mongo_port: int = 0,
        group_initial_rebalance_delay_ms: int = broker.GROUP_INITIAL_REBALANCE_DELAY_MS,
        niceness: int = 0,
        kafka_counters: bool = False,
    ) -> None:
        """A port of 0 is chosen at the start; logs are ``kafka.log`` and ``mongod.log`` in ``logs_dir``.

        ``niceness``: above 0 both servers let other processes go first. ``kafka_counters``: let the
        broker tell its own counters, where what it takes can be had.
        """
        self._local = local
        self._logs_dir = logs_dir
        self._kafka_port = kafka_port
        self._mongo_port = mongo_port
        self._niceness = niceness
        self._kafka_counters = kafka_counters
        self._agent_port = 0
        self._jvm_options: tuple[str, ...] = ()
        self._rebalance_delay_ms = group_initial_rebalance_delay_ms
        self._made: list[Path] = []
        self._kafka: ChildProcess | None = None
        self._mongod: ChildProcess | None = None
        self._versions: Versions | None = None

    def start(self, on_progress: Callable[[str], None] = lambda _: None) -> Self:
        """Start both servers and wait until they serve; ``on_progress`` gets lines for a person.

        Raises:
            MissingPartError: a part cannot be had on this machine; nothing was started.
            UsageError: a port that was asked for is taken.
            ProcessFailedError: a server did not come up; shows the end of its log.
        """
        java, mongod = find_java(self._local), find_mongod(self._local)
        self._kafka_port = claim(self._kafka_port, "Kafka", "choose another with --kafka-port")
        self._mongo_port = claim(self._mongo_port, "MongoDB", "choose another with --mongo-port")
        cache = cache_folder(self._local.cache_dir)
        jars = kafka_jars(cache, on_progress)
        if self._kafka_counters:
            self._add_agent(cache, on_progress)
        self._versions = Versions(KAFKA_VERSION, mongod.version, java.version)
        on_progress(f"starting Kafka {KAFKA_VERSION} and MongoDB {mongod.version}")
        try:
            self._start_both(java, jars, mongod, cache)
        except BaseException:
            self.stop()
            raise
        on_progress(f"Kafka is ready at {self.kafka_bootstrap_servers}, MongoDB at {self.mongo_uri}")
        return self

    def stop(self) -> None:
        """Stop both servers and remove their data, unless the settings keep it. May be called twice."""
        try:
            self._end_servers()
        finally:
            if not self._local.keep_data:
                for folder in self._made:
                    shutil.rmtree(folder, ignore_errors=True)
                self._made.clear()

    @property
    def kafka_bootstrap_servers(self) -> str:
        """Where clients find Kafka; with its true port once it was started."""
        return f"{HOST}:{self._kafka_port}"

    @property
    def kafka_counters_url(self) -> str:
        """Where the broker tells its counters (:mod:`pipeline.local.agent`); empty where it does not."""
        return agent.url(self._agent_port) if self._agent_port else ""

    @property
    def mongo_uri(self) -> str:
        """Where clients find MongoDB; with its true port once it was started."""
        return mongodb.uri(self._mongo_port)

    @property
    def kafka(self) -> ChildProcess:
        """The broker's process; after a ``kill`` and a ``start`` of it, call :meth:`wait_for_kafka`."""
        if self._kafka is None:
            raise ProcessFailedError("the local stack's Kafka was not started")
        return self._kafka

    @property
    def mongod(self) -> ChildProcess:
        """Mongod's process; after a ``kill`` and a ``start`` of it, call :meth:`wait_for_mongod`."""
        if self._mongod is None:
            raise ProcessFailedError("the local stack's mongod was not started")
        return self._mongod

    @property
    def versions(self) -> Versions:
        """What runs; known once it was started."""
        if self._versions is None:
            raise ProcessFailedError("the local stack was not started")
        return self._versions

    def wait_for_kafka(self, timeout_s: float = broker.READY_TIMEOUT_S) -> None:
        """Wait until the broker serves; raises ProcessFailedError if it does not."""
        broker.wait_until_ready(self.kafka, timeout_s)

    def wait_for_mongod(self, timeout_s: float = mongodb.READY_TIMEOUT_S) -> None:
        """Wait until mongod takes writes; raises ProcessFailedError if it does not."""
        mongodb.wait_until_ready(self.mongod, self._mongo_port, timeout_s)

    def __enter__(self) -> Self:
        return self if self._kafka is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _add_agent(self, cache: Path, on_progress: Callable[[str], None]) -> None:
        """Give the broker its agent; where there is none, it goes without: it is as good a broker."""
        try:
            port = free_port()
            self._jvm_options = agent.jvm_options(agent_jar(cache, on_progress), port)
        except MissingPartError as error:
            on_progress(f"Kafka will tell nothing of itself: {error}")
            return
        self._agent_port = port

    def _start_both(self, java: Program, jars: tuple[Path, ...], mongod: Program, cache: Path) -> None:
        kafka_data, mongod_data = self._data_folder(cache, "kafka"), self._data_folder(cache, "mongodb")
        with ThreadPoolExecutor(1) as pool:
            mongod_ready = pool.submit(self._start_mongod, mongod, mongod_data)
            try:
                self._start_kafka(java, jars, kafka_data)
                mongod_ready.result()
            except BaseException:
                # The pool waits for its thread, and the thread for mongod: let neither wait long.
                self._end_servers()
                raise

    def _start_kafka(self, java: Program, jars: tuple[Path, ...], data_dir: Path) -> None:
        self._kafka = broker.prepare(
            java=java.path,
            jars=jars,
            port=self._kafka_port,
            controller_port=free_port(),
            data_dir=data_dir,
            log_path=self._logs_dir / "kafka.log",
            scratch=self._scratch(data_dir),
            group_initial_rebalance_delay_ms=self._rebalance_delay_ms,
            niceness=self._niceness,
            jvm_options=self._jvm_options,
        )
        self._kafka.start()
        self.wait_for_kafka()
        # In a thread of its own: an event loop may be running in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(broker.warm_up, self.kafka_bootstrap_servers).result()

    def _start_mongod(self, mongod: Program, data_dir: Path) -> None:
        self._mongod = mongodb.prepare(
            mongod=mongod.path,
            port=self._mongo_port,
            data_dir=data_dir,
            log_path=self._logs_dir / "mongod.log",
            scratch=self._scratch(data_dir),
            niceness=self._niceness,
        )
        self._mongod.start()
        self.wait_for_mongod()

    def _data_folder(self, cache: Path, server: str) -> Path:
        """Make one server's folder; one that is there already is used, and is not ours to remove."""
        if self._local.data_dir:
            folder = Path(self._local.data_dir).expanduser().resolve() / server
            if folder.exists():
                return folder
            folder.mkdir(parents=True)
        else:
            # Beside the cache and not among the system's temporary files, which many systems keep in
            # memory: a journal there would cost nothing, and no measurement would mean anything.
            try:
                cache.mkdir(parents=True, exist_ok=True)
                folder = Path(tempfile.mkdtemp(prefix=f"{server}-data-", dir=cache))
            except OSError as error:
                raise unusable(cache, error) from error
        self._made.append(folder)
        return folder

    def _scratch(self, folder: Path) -> Path | None:
        return folder if folder in self._made and not self._local.keep_data else None

    def _end_servers(self) -> None:
        running = [each for each in (self._kafka, self._mongod) if each is not None]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda each: each.stop(_STOP_GRACE_S), running))

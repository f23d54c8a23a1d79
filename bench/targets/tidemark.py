"""Tidemark's own pipeline as the system under test: API, workers and dashboards of one repeat, as processes."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiokafka.errors import KafkaError
from msgspec import structs
from pymongo.errors import PyMongoError

from bench.errors import RepeatError
from bench.evidence import deliveries
from bench.evidence.deliveries import Deliveries
from bench.recorder.recorder import OBSERVER, WAITS, Places
from bench.retries import answered
from bench.targets import checkout, marks, processes
from bench.targets.dashboardviewer import WatchedDashboard
from bench.targets.processes import NICENESS, POLL_S, READY_S
from bench.targets.target import Setup, System
from pipeline import provision
from pipeline.addresses import url
from pipeline.commands.supervision import child_environment
from pipeline.errors import MissingPartError, ProvisionError
from pipeline.local.ports import free_port
from pipeline.local.process import ChildProcess
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings

ROLES = ("api", "worker", "dashboard")
# What makes servers and topics, which API and workers do neither: an older revision does not know all of it.
_OF_SERVERS = ("PIPELINE_KAFKA_MIN_INSYNC_REPLICAS", "PIPELINE_LOCAL_")
# Revisions from before the observer hook write down by themselves what these settings ask for, and the oldest of them
# do not know the last three. Workers that cannot wait are started when they may join.
_DELIVERIES, _JOIN_WHEN = checkout.DELIVERIES, "PIPELINE_WORKER_JOIN_WHEN_PATH"
_LOOP_LAG = {"api": "PIPELINE_API_LOOP_LAG_PATH", "worker": "PIPELINE_WORKER_LOOP_LAG_PATH"}
_DASHBOARD = "PIPELINE_DASHBOARD_PORT"
_BESIDE = ("_minutes", "_days", "_latencies")  # the dashboard's collections
_PROVISION_S = 30.0
_PASSING = (MissingPartError, ProvisionError, KafkaError, PyMongoError, TimeoutError, OSError)


class Tidemark:
    """API, workers and dashboards of one repeat, as processes (:class:`bench.targets.target.Target`)."""

    roles = ROLES

    def __init__(self, setup: Setup) -> None:
        """Without ``setup.recorded`` the processes write neither deliveries nor the lag of their event loops down."""
        self.settings = setup.settings
        self._setup = setup
        self._code = setup.code
        self._logs = setup.folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._folder = setup.folder
        self._gate = setup.folder / "workers-may-join"
        known = self._code.settings if self._code else frozenset({checkout.OBSERVER})
        self._known = known
        self._workers_wait = bool(known & {checkout.OBSERVER, _JOIN_WHEN})
        self._assignments: list[deliveries.Assignment | None] = []
        self.api: ChildProcess | None = None
        self.workers = [self._worker(number) for number in range(1, setup.consumers + 1)]
        self.dashboards = [self._dashboard(number) for number in range(1, setup.dashboards + 1)]

    @property
    def url(self) -> str:
        """Where the API listens."""
        return url(self.settings.api.host, self.settings.api.port)

    @property
    def deliveries_logs(self) -> list[Path]:
        """The workers' deliveries logs, in the workers' order."""
        return [self._deliveries_log(number) for number in range(1, len(self.workers) + 1)]

    def processes(self) -> Mapping[str, list[int]]:
        """Return the ids of the processes that run, by role."""
        api = [self.api.pid] if self.api and self.api.running() else []
        return {
            "api": api,
            "worker": [each.pid for each in self.workers if each.running()],
            "dashboard": [each.process.pid for each in self.dashboards if each.process.running()],
        }

    def is_working(self) -> bool:
        """Whether there is a worker that runs."""
        return any(worker.running() for worker in self.workers)

    async def provision(self) -> None:
        """Make topics, collection and indexes.

        Raises:
            MissingPartError, ProvisionError: a server does not answer in time, or refuses.
        """
        await answered(lambda: provision.create_topics(self.settings.kafka), patience_s=_PROVISION_S)
        await answered(lambda: provision.create_indexes(self.settings.mongo), patience_s=_PROVISION_S)

    async def remove(self) -> None:
        """Remove collections, topics and groups; one that cannot be removed does not keep the others.

        Raises:
            MissingPartError, ProvisionError, KafkaError, PyMongoError, TimeoutError, OSError: the first failure.
        """
        kafka = self.settings.kafka
        steps: list[Callable[[], Awaitable[object]]] = [
            lambda: asyncio.to_thread(self._drop_collections),
            lambda: provision.delete_topics(kafka),
            lambda: marks.delete_group(kafka, self.settings.worker.group_id),
        ]
        if self.dashboards:
            steps.append(lambda: marks.delete_group(kafka, self.settings.dashboard.group_id))
        failures: list[Exception] = []
        for step in steps:
            try:
                await step()
            except _PASSING as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _drop_collections(self) -> None:
        mongo = self.settings.mongo
        with marks.client_of(mongo) as client:
            for suffix in ("", *_BESIDE):
                client[mongo.database].drop_collection(mongo.collection + suffix)

    async def start(self, *, through_http: bool) -> None:
        """Start API and workers all at once; wait until the API takes events and the workers could join their group."""
        deadline = time.monotonic() + READY_S
        if through_http:
            lag = self._record("loop-lag-api")
            self.api = self._process("api", "api", self.settings, Places(loop_lag=lag))
            self.api.start()
        for dashboard in self.dashboards:
            dashboard.process.start()
        waiting = self.workers if self._workers_wait else []
        for worker in waiting:
            worker.start()
        for worker in waiting:
            await asyncio.to_thread(worker.wait_for_line, WAITS, max(0.0, deadline - time.monotonic()))
        if self.api is not None:
            await processes.answers(self.api, f"{self.url}/health/ready")
        for dashboard in self.dashboards:
            await asyncio.to_thread(dashboard.watch, max(0.0, deadline - time.monotonic()))

    async def admit(self) -> None:
        """Let all workers join their group now; wait until each has, and every partition is assigned."""
        self.open_gate()
        topics = len(event_topics(self.settings.kafka))
        deadline = time.monotonic() + READY_S
        while True:
            assigned = [deliveries.assignment(path) for path in self.deliveries_logs]
            partitions = sum(len(each) for one in assigned if one for each in one.values())
            if None not in assigned and partitions == topics * self.settings.kafka.partitions:
                self._gate.unlink()
                return
            for worker in self.workers:
                processes.expect_running(worker, "join the group", deadline)
            await asyncio.sleep(POLL_S)

    def open_gate(self) -> None:
        """Let all workers join their group now."""
        self._gate.touch()
        if not self._workers_wait:
            for worker in self.workers:
                worker.start()

    def stop(self) -> list[str]:
        """Stop API, then workers; report every process that had ended unasked, or badly."""
        self._assignments = [deliveries.assignment(path) for path in self.deliveries_logs]
        for dashboard in self.dashboards:
            dashboard.stop_watching()
        crashes = processes.end([each.process for each in self.dashboards if each.process.pid])
        crashes += processes.end([self.api] if self.api else [])
        return crashes + processes.end([each for each in self.workers if each.pid])

    def deliveries(self) -> Deliveries:
        """Read the workers' deliveries logs; each worker with the partitions that it had when it was stopped."""
        return deliveries.load(self.deliveries_logs, self._assignments or [None] * len(self.workers))

    def _worker(self, number: int) -> ChildProcess:
        places = Places(
            deliveries=self._record(self._deliveries_log(number).name),
            loop_lag=self._record("loop-lag-worker"),
            join_when=str(self._gate),
        )
        return self._process(f"worker-{number}", "worker", self.settings, places)

    def _dashboard(self, number: int) -> WatchedDashboard:
        if self._code is not None and _DASHBOARD not in self._code.settings:
            raise RepeatError(f"there is no dashboard in {self._code.folder}: compare revisions that have one")
        port, token = free_port(), secrets.token_urlsafe(24)
        dashboard = structs.replace(self.settings.dashboard, port=port, token=token)
        for_dashboard = structs.replace(self.settings, dashboard=dashboard)
        process = self._process(f"dashboard-{number}", "dashboard", for_dashboard)
        return WatchedDashboard(process, url(dashboard.host, port), token)

    def _record(self, name: str) -> str:
        return str(self._folder / name) if self._setup.recorded else ""

    def _deliveries_log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"

    def _process(self, name: str, role: str, of_process: Settings, places: Places | None = None) -> ChildProcess:
        """Return the process of a role, which writes to ``places``, if it is to be observed at all."""
        return ChildProcess(
            name,
            [sys.executable, "-m", "pipeline", role],
            env=self._environment(of_process) | (self._observed(role, places) if places else {}),
            cwd=self._code.folder if self._code else None,
            log_path=self._logs / f"{name}.log",
            niceness=NICENESS,
        )

    def _environment(self, of_process: Settings) -> dict[str, str]:
        """The settings as variables, and first among the paths the checkout that is run."""
        environment = child_environment(of_process)
        left_out = (*_OF_SERVERS, checkout.OBSERVER)  # the harness has an observer of its own
        environment = {name: text for name, text in environment.items() if not name.startswith(left_out)}
        if self._code is None:
            return environment
        for name in [each for each in environment if each.startswith("PIPELINE_DASHBOARD_")]:
            if name not in self._known:
                del environment[name]
        return environment | {"PYTHONPATH": f"{self._code.folder}{os.pathsep}{environment['PYTHONPATH']}"}

    def _observed(self, role: str, places: Places) -> dict[str, str]:
        """The variables by which a process writes to ``places``, as far as its code can."""
        if checkout.OBSERVER in self._known:
            return {checkout.OBSERVER: OBSERVER, **places.to_environment()}
        asked = {_LOOP_LAG[role]: places.loop_lag, _DELIVERIES: places.deliveries, _JOIN_WHEN: places.join_when}
        return {name: path for name, path in asked.items() if path and name in self._known}


TIDEMARK = System("Tidemark", Tidemark)

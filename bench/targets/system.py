"""The system under test of one repeat: its names on the servers, and its processes."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from msgspec import structs
from pymongo import MongoClient

from bench.errors import RepeatError
from bench.evidence import deliveries
from bench.matrix import stackaxes
from bench.matrix.matrix import CellSpec
from bench.retries import answered
from bench.targets import marks
from bench.targets.checkout import Checkout
from bench.targets.dashboardviewer import WatchedDashboard
from pipeline import provision
from pipeline.addresses import url
from pipeline.commands.supervision import child_environment
from pipeline.local.ports import free_port
from pipeline.local.process import ChildProcess
from pipeline.local.stackspec import StackSpec
from pipeline.messages.topics import event_topics
from pipeline.settings import Settings

# The generator goes first: were it to wait for what it loads, it could not tell how that does. All of the
# system, servers included, is as nice, so that its parts share the machine as they would by themselves.
NICENESS = 10
# What the harness has recorded where the code can: an older revision is measured without.
_ONLY_RECORDED = ("PIPELINE_API_LOOP_LAG_PATH", "PIPELINE_WORKER_LOOP_LAG_PATH")
# What makes servers and topics, which API and workers do neither: an older revision does not know all of it.
_OF_SERVERS = ("PIPELINE_KAFKA_MIN_INSYNC_REPLICAS", "PIPELINE_LOCAL_")
_JOIN_WHEN = "PIPELINE_WORKER_JOIN_WHEN_PATH"  # older workers cannot wait, and are started when they may join
_DASHBOARD = "PIPELINE_DASHBOARD_PORT"
_BESIDE = ("_minutes", "_days", "_latencies")  # the dashboard's collections
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_PROVISION_S = 30.0
_POLL_S = 0.05
_WAITS = "worker waits for"


def settings_for(base: Settings, cell: CellSpec, name: str) -> Settings:
    """Give the settings that make ``cell`` run under names of its own: topics, group and collection."""
    kafka = structs.replace(
        base.kafka,
        topic_prefix=f"{name}.",
        dead_letter_topic=f"{name}-dead-letters",
        partitions=cell.partitions,
        **_copies(cell),
    )
    mongo = structs.replace(
        base.mongo,
        database=marks.DATABASE,
        collection=name,
        driver=cell.driver,
        write_concern=cell.write_concern,
    )
    api = structs.replace(
        base.api,
        host="127.0.0.1",
        port=free_port(),
        processes=cell.api_processes,
        acks=cell.acks,
        linger_ms=cell.linger_ms,
        compression=cell.compression,
    )
    worker = structs.replace(base.worker, group_id=name, batch_max_events=cell.batch_max_events, metrics_port=0)
    dashboard = structs.replace(base.dashboard, group_id=f"{name}-dashboard", host="127.0.0.1")
    return structs.replace(base, kafka=kafka, mongo=mongo, api=api, worker=worker, dashboard=dashboard)


def _copies(cell: CellSpec) -> dict[str, int]:
    """Give the settings for the copies of the cell's topics; on the user's own servers none."""
    if cell.replication is None or cell.stack == StackSpec():
        return {}
    return {"replication_factor": cell.replication, "min_insync_replicas": stackaxes.least_in_sync(cell)}


class System:
    """API and workers of one repeat, as processes; start and stop each once."""

    def __init__(
        self,
        for_repeat: Settings,
        consumers: int,
        folder: Path,
        code: Checkout | None = None,
        *,
        recorded: bool = True,
        dashboards: int = 0,
    ) -> None:
        """``folder``: where logs and deliveries logs go. ``code``: the checkout that is run, None for this one.

        ``recorded``: without, the processes write neither deliveries nor the lag of their event loops down.
        """
        self.settings = for_repeat
        self._recorded = recorded
        self._code = code
        self._logs = folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._folder = folder
        self._gate = folder / "workers-may-join"
        self._workers_wait = code is None or _JOIN_WHEN in code.settings
        self.api: ChildProcess | None = None
        self.assignments: list[deliveries.Assignment | None] = []
        self.workers = [self._worker(number) for number in range(1, consumers + 1)]
        self.dashboards = [self._dashboard(number) for number in range(1, dashboards + 1)]

    @property
    def url(self) -> str:
        """Where the API listens."""
        return url(self.settings.api.host, self.settings.api.port)

    @property
    def deliveries_logs(self) -> list[Path]:
        """The workers' deliveries logs, in the workers' order."""
        return [self._deliveries_log(number) for number in range(1, len(self.workers) + 1)]

    def pids(self) -> Mapping[str, list[int]]:
        """Give the processes that run, by role."""
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

    def drop_collection(self) -> None:
        """Remove what was stored."""
        mongo = self.settings.mongo
        bound_ms = mongo.timeout_ms
        with MongoClient[dict[str, object]](
            mongo.uri, serverSelectionTimeoutMS=bound_ms, socketTimeoutMS=bound_ms
        ) as client:
            for suffix in ("", *_BESIDE):
                client[mongo.database].drop_collection(mongo.collection + suffix)

    async def start(self, *, with_api: bool) -> None:
        """Start API and workers all at once; wait until the API takes events and the workers could join their group."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        if with_api:
            api = structs.replace(self.settings.api, loop_lag_path=self._record("loop-lag-api"))
            for_api = structs.replace(self.settings, api=api)
            self.api = self._process("api", ["-m", "pipeline", "api"], for_api)
            self.api.start()
        for dashboard in self.dashboards:
            dashboard.process.start()
        waiting = self.workers if self._workers_wait else []
        for worker in waiting:
            worker.start()
        for worker in waiting:
            await asyncio.to_thread(worker.wait_for_line, _WAITS, max(0.0, deadline - time.monotonic()))
        while self.api is not None and not await asyncio.to_thread(_is_ready, self.url):
            self._expect_running(self.api, deadline, "take events")
            await asyncio.sleep(_POLL_S)
        for dashboard in self.dashboards:
            await asyncio.to_thread(dashboard.watch, max(0.0, deadline - time.monotonic()))

    async def let_workers_join(self) -> None:
        """Let all workers join their group now; wait until each has, and every partition is assigned."""
        self.open_gate()
        topics = len(event_topics(self.settings.kafka))
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while True:
            assigned = [deliveries.assignment(path) for path in self.deliveries_logs]
            partitions = sum(len(each) for one in assigned if one for each in one.values())
            if None not in assigned and partitions == topics * self.settings.kafka.partitions:
                self._gate.unlink()
                return
            for worker in self.workers:
                self._expect_running(worker, deadline, "join the group")
            await asyncio.sleep(_POLL_S)

    def open_gate(self) -> None:
        """Let all workers join their group now."""
        self._gate.touch()
        if not self._workers_wait:
            for worker in self.workers:
                worker.start()

    def stop(self) -> list[str]:
        """Stop API, then workers; tell of every process that had ended by itself, or badly."""
        self.assignments = [deliveries.assignment(path) for path in self.deliveries_logs]
        for dashboard in self.dashboards:
            dashboard.stop_watching()
        crashes = self._end([each.process for each in self.dashboards if each.process.pid])
        crashes += self._end([self.api] if self.api else [])
        return crashes + self._end([each for each in self.workers if each.pid])

    def _end(self, processes: list[ChildProcess]) -> list[str]:
        """End processes side by side: one that leaves the group makes work for the others."""
        died = [not each.running() for each in processes]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        crashes = []
        for process, was_dead in zip(processes, died, strict=True):
            code: int | str | None = process.wait(_STOP_TIMEOUT_S)
            if code is None:
                process.kill()
                code = f"{process.returncode}, killed after {_STOP_TIMEOUT_S:g} s"
            if was_dead or code != 0:
                crashes.append(f"crash: {process.name} ended with exit code {code}, see logs/{process.log_path.name}")
        return crashes

    def _expect_running(self, process: ChildProcess, deadline: float, purpose: str) -> None:
        if not process.running():
            raise RepeatError(f"{process.name} ended with exit code {process.returncode}; {process.last_words()}")
        if time.monotonic() > deadline:
            message = f"{process.name} did not {purpose} within {_READY_TIMEOUT_S:.0f} s; {process.last_words()}"
            raise RepeatError(message)

    def _worker(self, number: int) -> ChildProcess:
        worker = structs.replace(
            self.settings.worker,
            deliveries_path=self._record(self._deliveries_log(number).name),
            loop_lag_path=self._record("loop-lag-worker"),
            join_when_path=str(self._gate),
        )
        for_worker = structs.replace(self.settings, worker=worker)
        return self._process(f"worker-{number}", ["-m", "pipeline", "worker"], for_worker)

    def _dashboard(self, number: int) -> WatchedDashboard:
        if self._code is not None and _DASHBOARD not in self._code.settings:
            raise RepeatError(f"there is no dashboard in {self._code.folder}: compare revisions that have one")
        port, token = free_port(), secrets.token_urlsafe(24)
        dashboard = structs.replace(self.settings.dashboard, port=port, token=token)
        for_dashboard = structs.replace(self.settings, dashboard=dashboard)
        process = self._process(f"dashboard-{number}", ["-m", "pipeline", "dashboard"], for_dashboard)
        return WatchedDashboard(process, url(dashboard.host, port), token)

    def _record(self, name: str) -> str:
        return str(self._folder / name) if self._recorded else ""

    def _deliveries_log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"

    def _process(self, name: str, arguments: list[str], of_process: Settings) -> ChildProcess:
        return ChildProcess(
            name,
            [sys.executable, *arguments],
            env=self._environment(of_process),
            cwd=self._code.folder if self._code else None,
            log_path=self._logs / f"{name}.log",
            niceness=NICENESS,
        )

    def _environment(self, of_process: Settings) -> dict[str, str]:
        """The settings as variables, and first among the paths the checkout that is run."""
        environment = child_environment(of_process)
        environment = {name: text for name, text in environment.items() if not name.startswith(_OF_SERVERS)}
        if self._code is None:
            return environment
        known = self._code.settings
        others = {name for name in environment if name.startswith("PIPELINE_DASHBOARD_")}
        for name in (*_ONLY_RECORDED, _JOIN_WHEN, *others):
            if name not in known:
                environment.pop(name, None)
        return environment | {"PYTHONPATH": f"{self._code.folder}{os.pathsep}{environment['PYTHONPATH']}"}


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/health/ready", timeout=2.0) as response:  # noqa: S310 - our own address, http
            return bool(response.status == 200)  # noqa: PLR2004 - HTTP OK
    except (URLError, OSError):
        return False

"""API, workers and dashboard as child processes of ``up``: started, watched, started again, ended in order."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline import settings as pipeline_settings
from pipeline.errors import ProcessFailedError
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

READY_TIMEOUT_S = 60.0
RESTARTS = 3
# Longer than the children's own bounds on their ends, which are settings: they are to keep them.
_GRACE_MARGIN_S = 5.0


class Roles:
    """The API's process, the workers' and, if wanted, the dashboard's. Not thread-safe."""

    def __init__(self, settings: Settings, *, workers: int, logs_dir: Path, dashboard: bool = False) -> None:
        """``settings`` as the children shall have them; each child logs to a file of its name."""
        environment = child_environment(settings)
        self._api_grace_s = settings.api.shutdown_timeout_s + _GRACE_MARGIN_S
        self._worker_grace_s = settings.worker.shutdown_timeout_s + _GRACE_MARGIN_S
        self._api = _role("api", environment, logs_dir, "api")
        self._workers = [_role("worker", environment, logs_dir, f"worker-{each + 1}") for each in range(workers)]
        self._beside = [_role("dashboard", environment, logs_dir, "dashboard")] if dashboard else []
        self._beside_grace_s = settings.dashboard.shutdown_timeout_s + _GRACE_MARGIN_S
        self._restarts: dict[str, int] = {}
        self._given_up: set[str] = set()

    def start(self) -> None:
        """Start all of them at once and wait until each is ready.

        Raises:
            ProcessFailedError: one ended, or was not ready in time; shows the end of its log.
        """
        for each in (self._api, *self._workers, *self._beside):
            each.start()
        self._api.wait_for_line("api ready on", READY_TIMEOUT_S)
        for worker in self._workers:
            worker.wait_for_line("worker ready", READY_TIMEOUT_S)
        for dashboard in self._beside:
            dashboard.wait_for_line("dashboard ready on", READY_TIMEOUT_S)

    def revive(self, report: Callable[[str], None]) -> None:
        """Start again what has died, at most :data:`RESTARTS` times each, and report each to ``report``.

        Raises:
            ProcessFailedError: the API, or the last of the workers, has died more often than that.
        """
        for each in (self._api, *self._workers, *self._beside):
            if each.running() or each.name in self._given_up:
                continue
            died = f"{each.name} died (exit code {each.returncode}; see {each.log_path})"
            count = self._restarts.get(each.name, 0)
            if count < RESTARTS:
                self._restarts[each.name] = count + 1
                report(f"{died}: started again, {count + 1} of {RESTARTS} times")
                each.start()
                continue
            self._given_up.add(each.name)
            report(f"{died}: not started again, it has died {RESTARTS + 1} times")
            gone = self._given_up.issuperset(worker.name for worker in self._workers)
            if each is self._api or (each in self._workers and gone):
                raise ProcessFailedError(f"{each.name} does not stay up; {each.last_words()}")

    def stop(self, report: Callable[[str], None]) -> None:
        """Let the API drain, then the workers finish what they have in hand."""
        _stop_all(self._beside, self._beside_grace_s)
        report("the API drains")
        self._api.stop(self._api_grace_s)
        report("the workers finish")
        _stop_all(self._workers, self._worker_grace_s)


def child_environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment with ``settings`` in it, for a child that runs ``-m pipeline``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(pipeline_settings.PREFIX)}
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *(path for path in [inherited.get("PYTHONPATH", "")] if path)]
    return {
        **inherited,
        **pipeline_settings.to_environment(settings),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
    }


def _role(command: str, environment: dict[str, str], logs_dir: Path, name: str) -> ChildProcess:
    argv = [sys.executable, "-m", "pipeline", command]
    log_path = logs_dir / f"{name}.log"
    log_path.unlink(missing_ok=True)  # the last time's
    return ChildProcess(name, argv, env=environment, log_path=log_path)


def _stop_all(children: Sequence[ChildProcess], grace_s: float) -> None:
    if children:
        with ThreadPoolExecutor(len(children)) as pool:
            list(pool.map(lambda each: each.stop(grace_s), children))

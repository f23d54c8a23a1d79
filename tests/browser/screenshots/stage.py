"""What the pictures are of: Kafka, MongoDB, the pipeline with its dashboard, and Locust, all of this program's own."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.commands.supervision import child_environment
from pipeline.local.ports import free_port
from pipeline.local.process import ChildProcess
from pipeline.local.programs import find_mongod
from pipeline.local.stack import LocalStack
from pipeline.settings import Api, Dashboard, Kafka, Mongo, Settings, load

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-for-the-pictures"  # noqa: S105  of a dashboard that ends in minutes
FUNNEL = ("page_view", "page_view:/products", "add_to_cart", "signup")
OFFERED_LOAD_EVENTS_PER_S = 400
_WAIT_S = 90.0


class Stage:
    """Everything is up while it is entered; Locust waits for its start."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._local = load(os.environ).local
        self._open = ExitStack()
        self.api_url = f"http://127.0.0.1:{free_port()}"
        self.dashboard_url = f"http://127.0.0.1:{free_port()}"
        self.locust_url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        find_mongod(self._local)  # before anything is started
        with ExitStack() as opening:
            print("starting Kafka, MongoDB, the pipeline, its dashboard and Locust", flush=True)  # noqa: T201
            self._servers = opening.enter_context(LocalStack(self._local, logs_dir=self._logs))
            settings = Settings(
                kafka=Kafka(bootstrap_servers=self._servers.kafka_bootstrap_servers),
                mongo=Mongo(uri=self._servers.mongo_uri),
                api=Api(port=_port(self.api_url), demo=True),
                dashboard=Dashboard(port=_port(self.dashboard_url), token=TOKEN, funnel=FUNNEL),
            )
            up = ("-m", "pipeline", "up", "--workers=2")
            self._up = opening.enter_context(self._child("up", up, child_environment(settings)))
            self._up.wait_for_line("/demo", _WAIT_S)
            opening.enter_context(self._child("locust", self._locust(), dict(os.environ)))
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def dashboard_link(self) -> str:
        """The dashboard, with its token."""
        return f"{self.dashboard_url}/?token={TOKEN}"

    def stop_mongodb(self) -> None:
        """As a power failure does."""
        self._servers.mongod.kill()

    def stop_pipeline(self) -> None:
        """End the API, the workers and the dashboard."""
        self._up.kill()

    def _locust(self) -> tuple[str, ...]:
        return (
            *("-m", "loadtest", "--web-port", str(_port(self.locust_url)), "--host", self.api_url),
            *("--offered-load", str(OFFERED_LOAD_EVENTS_PER_S), "--profile", "diurnal", "--profile-period", "120"),
            *("--diurnal-amplitude", "0.6", "--batch-max", "60", "--visitor-share", "0.1", "--payload-bytes", "0"),
            *("--event-mix", "page_view=0.62,add_to_cart=0.2,search=0.1,signup=0.05,order=0.03"),
        )

    def _child(self, name: str, arguments: tuple[str, ...], environment: dict[str, str]) -> ChildProcess:
        command = [sys.executable, *arguments]
        return ChildProcess(name, command, log_path=self._logs / f"{name}.log", env=environment, cwd=ROOT).start()


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])

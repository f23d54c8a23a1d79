"""The plain server as a system under test: what any other system would have to be for the bench, and no more."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pymongo import MongoClient

from bench.evidence import deliveries
from bench.evidence.deliveries import Deliveries
from bench.targets import processes
from bench.targets.target import Setup, System
from pipeline.addresses import url
from pipeline.local.process import ChildProcess

SERVER = Path(__file__).with_name("plain_server.py")
PATIENCE_S = 1.5


class Plain:
    """One process that takes events and stores them."""

    roles = ("shop",)

    def __init__(self, setup: Setup, fault: str = "") -> None:
        self._mongo = setup.settings.mongo
        self._api = setup.settings.api
        where = (str(self._api.port), self._mongo.uri, self._mongo.database, self._mongo.collection, fault)
        log_path = setup.folder / "logs" / "plain.log"
        self._process = ChildProcess("plain", [sys.executable, SERVER, *where], log_path=log_path)
        self._patience_s = PATIENCE_S if fault in ("hangs", "deaf") else 30.0

    @property
    def url(self) -> str:
        return url(self._api.host, self._api.port)

    async def provision(self) -> None:
        """It needs nothing: MongoDB makes a collection when it is written to."""

    async def start(self, *, through_http: bool) -> None:
        assert through_http
        self._process.start()
        await processes.answers(self._process, f"{self.url}/health", self._patience_s)

    async def admit(self) -> None:
        """Nobody joins anything."""

    def processes(self) -> Mapping[str, list[int]]:
        return {"shop": [self._process.pid] if self._process.running() else []}

    def is_working(self) -> bool:
        return self._process.running()

    def stop(self) -> list[str]:
        return processes.end([self._process], self._patience_s)

    def deliveries(self) -> Deliveries:
        return deliveries.none()

    async def remove(self) -> None:
        await asyncio.to_thread(self._drop)

    def _drop(self) -> None:
        with MongoClient(self._mongo.uri) as client:
            client[self._mongo.database].drop_collection(self._mongo.collection)


def plain(fault: str = "") -> System:
    """The plain system, with something that it does wrong, if any."""
    return System("plain", partial(Plain, fault=fault), frozenset({"documents"}))

"""How fast the dashboard's data is read at a given size: fills MongoDB with events and aggregates, and measures.

    python -m bench.experiments.dashboard                             a million events, about half a minute
    python -m bench.experiments.dashboard --events 10000000           ten million, some minutes and 3 GB of disk

Servers of its own are started and removed. The events get the pipeline's indexes and the aggregates are made by the
dashboard's own code, of the same events, as if they had come within the last day. Then a dashboard is started, and
asked as a page asks it: for the page, for its first figures while nobody else looks, and for the newest events with the
filters that are hardest. MongoDB's cache is warm, Kafka has no records.
"""
# ruff: noqa: T201  a command line prints

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from pymongo import MongoClient

from pipeline import provision
from pipeline.commands.supervision import child_environment
from pipeline.dashboard.aggregate import DAY, MINUTE, Aggregate, Scale, at, start_of
from pipeline.dashboard.rows import BIN_MS, MINUTE_MS, Row, RowsOfMinute
from pipeline.dashboard.tally import FunnelCondition, Tallies
from pipeline.local.ports import free_port
from pipeline.local.process import ChildProcess
from pipeline.local.stack import LocalStack
from pipeline.settings import Dashboard, Kafka, Mongo, Settings, load

_BATCH = 50_000
_USERS = 200_000
_PAGES = 20_000
_DAY_MS = 24 * 3600 * 1000
_TYPES = ("page_view", "signup", "add_to_cart", "search", "logout")
_WEIGHTS = (70, 4, 15, 10, 1)
_BOUND_MS = 200.0
_REPEATS = 60
_REFRESH_S = 0.5
_PAUSE_S = 3 * _REFRESH_S  # after it no snapshot is there, so that the next one is made for us
_START_S = 30.0
_COUNT_S = 120.0
_FILTERS = (
    ("newest events", ""),
    ("newest, a type that never came", "type=never"),
    ("newest, a page that never came", "url=/never/%5Bx"),
    ("newest, one user", "user=7"),
)


@dataclass(frozen=True)
class PageTimes:
    """Milliseconds of many calls of one kind."""

    name: str
    times_ms: Sequence[float]

    def line(self) -> str:
        """One row of the table."""
        p50, p99 = np.percentile(self.times_ms, [50, 99])
        return f"  {self.name:<34} {p50:8.1f} {p99:8.1f} {max(self.times_ms):8.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, measure, print; 1 if the page's data took longer than promised."""
    parser = argparse.ArgumentParser(
        "python -m bench.experiments.dashboard", description="How fast the dashboard's data is read."
    )
    parser.add_argument("--events", type=int, default=1_000_000, help="how many (default: 1,000,000)")
    options = parser.parse_args(arguments)
    if options.events < 1:
        parser.error("--events: write a whole number from 1 on")
    with (
        tempfile.TemporaryDirectory(prefix="tidemark-dashboard-") as folder,
        LocalStack(load(os.environ).local, logs_dir=Path(folder)) as stack,
    ):
        mongo = Mongo(uri=stack.mongo_uri)
        _fill(mongo, options.events)
        timed = _measure(
            Settings(kafka=Kafka(bootstrap_servers=stack.kafka_bootstrap_servers), mongo=mongo), Path(folder)
        )
    print(f"of {options.events:,} events, in ms:\n  {'':<34} {'median':>8} {'p99':>8} {'max':>8}")
    for each in timed:
        print(each.line())
    slow = [each.name for each in timed if np.percentile(each.times_ms, 99) > _BOUND_MS]
    print(f"p99 above {_BOUND_MS:g} ms: {', '.join(slow)}" if slow else f"every p99 is below {_BOUND_MS:g} ms")
    return 1 if slow else 0


def _fill(mongo: Mongo, events: int) -> None:
    """Make the events and their aggregates, oldest first, spread over the day that ends now; then the indexes."""
    print(f"filling {events:,} events and their aggregates", flush=True)
    began_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
    steps = [FunnelCondition.parse(each) for each in Dashboard().funnel]
    aggregates: dict[tuple[Scale, int], Aggregate] = {}
    with MongoClient[dict[str, Any]](mongo.uri) as client:
        database = client[mongo.database]
        for first, rows, times_ms in _rows(events, now_ms):
            database[mongo.collection].insert_many(_documents(rows, times_ms), ordered=False)
            tallies = Tallies(steps)
            for part in _parts(rows, times_ms):
                for scale in (MINUTE, DAY):
                    key = scale, start_of(scale, part.minute_ms)
                    known = aggregates.get(key) or Aggregate(*key)
                    aggregates[key] = known.with_parts([part], tallies) or known
            if first % (20 * _BATCH) == 0:
                print(f"  {first + len(rows):,} after {time.monotonic() - began_s:.0f} s", flush=True)
        for (scale, _), each in aggregates.items():
            each.version = 1
            document = each.to_document(at(now_ms) + timedelta(days=2))
            database[f"{mongo.collection}_{scale.suffix}"].insert_one(document)
        latencies = [
            {"at": at(now_ms - minute * MINUTE_MS), "buckets": [1] * 71, "expires_at": at(now_ms) + timedelta(days=2)}
            for minute in range(24 * 60)
        ]
        database[f"{mongo.collection}_latencies"].insert_many(latencies)
    print(f"  making indexes after {time.monotonic() - began_s:.0f} s", flush=True)
    asyncio.run(provision.create_indexes(structs.replace(mongo, timeout_ms=600_000)))
    print(f"  filled in {time.monotonic() - began_s:.0f} s, {len(aggregates):,} documents of aggregates", flush=True)


def _rows(events: int, now_ms: int) -> Iterator[tuple[int, list[Row], list[int]]]:
    """Return batches of rows: skewed users and pages, five types, some pages with a long tail of their own."""
    chosen = np.random.default_rng(1)
    shares = np.array(_WEIGHTS) / sum(_WEIGHTS)
    for first in range(0, events, _BATCH):
        count = min(_BATCH, events - first)
        times_ms = now_ms - _DAY_MS + (np.arange(first, first + count) * _DAY_MS // events)
        types = chosen.choice(len(_TYPES), count, p=shares)
        users = chosen.integers(0, _USERS, count)
        pages = np.minimum(chosen.zipf(1.3, count), _PAGES)
        bins = times_ms % MINUTE_MS // BIN_MS
        columns = zip(bins.tolist(), types.tolist(), users.tolist(), pages.tolist(), strict=True)
        rows = [
            Row(first + at_, bin_, _TYPES[kind], str(user), f"/page/{page}", f"https://site{page % 300}.example/")
            for at_, (bin_, kind, user, page) in enumerate(columns)
        ]
        yield first, rows, times_ms.tolist()


def _documents(rows: Sequence[Row], times_ms: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "event_type": row.event_type,
            "user_id": row.user_id,
            "props": {"url": row.url, "referrer": row.referrer},
            "timestamp": at(time_ms),
        }
        for row, time_ms in zip(rows, times_ms, strict=True)
    ]


def _parts(rows: Sequence[Row], times_ms: Sequence[int]) -> Iterator[RowsOfMinute]:
    start = 0
    for here in range(1, len(rows) + 1):
        if here == len(rows) or times_ms[here] // MINUTE_MS != times_ms[start] // MINUTE_MS:
            yield RowsOfMinute("filled:0", times_ms[start] // MINUTE_MS * MINUTE_MS, rows[start:here])
            start = here


def _measure(settings: Settings, folder: Path) -> list[PageTimes]:
    """Serve a dashboard of these servers, and ask it as a page does."""
    token, port = secrets.token_urlsafe(24), free_port()
    dashboard = structs.replace(settings.dashboard, port=port, token=token, refresh_s=_REFRESH_S)
    settings = structs.replace(settings, dashboard=dashboard)
    asyncio.run(provision.create_topics(settings.kafka))
    process = ChildProcess(
        "dashboard",
        [sys.executable, "-m", "pipeline", "dashboard"],
        env=child_environment(settings),
        log_path=folder / "dashboard.log",
    )
    with process.start():
        process.wait_for_line("dashboard ready on", _START_S)
        page = _Page(dashboard.host, port, token)
        page.wait_for_count()
        return [
            _timed("the page", partial(page.get, "/")),
            _timed("its first figures", page.first_figures, _PAUSE_S),
            *(_timed(name, partial(page.get, f"/events?{query}")) for name, query in _FILTERS),
        ]


class _Page:
    """Asks as a page does, on a connection of its own each time."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._place = host, port
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> bytes:
        """Read one answer whole."""
        with self._answer(path) as answer:
            return answer.read()

    def first_figures(self) -> None:
        """Open the stream, and read the first snapshot."""
        with self._answer("/live") as answer:
            while not answer.readline().startswith(b"data: "):
                pass

    def wait_for_count(self) -> None:
        """Wait for the dashboard's one count of what is stored: before, it shows none."""
        until_s = time.monotonic() + _COUNT_S
        while json.loads(self.get("/snapshot"))["stored"]["events"] is None:
            if time.monotonic() > until_s:
                raise TimeoutError(f"the dashboard has not counted what is stored within {_COUNT_S:g} s")
            time.sleep(1)

    @contextlib.contextmanager
    def _answer(self, path: str) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(*self._place, timeout=_START_S)
        try:
            connection.request("GET", path, headers=self._headers)
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"GET {path} was answered with {answer.status}: {answer.read(500)!r}")
            yield answer
        finally:
            connection.close()


def _timed(name: str, call: Callable[[], object], pause_s: float = 0.0) -> PageTimes:
    times_ms = []
    for repeat in range(-3, _REPEATS):
        time.sleep(pause_s)
        began_ns = time.perf_counter_ns()
        call()
        if repeat >= 0:
            times_ms.append((time.perf_counter_ns() - began_ns) / 1e6)
    return PageTimes(name, times_ms)


if __name__ == "__main__":
    sys.exit(main())

"""mongod's own counters, from ``serverStatus``: what it had to do, and what it was short of."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bench.observe.scraper import TIMEOUT_S, CounterSeries, Figures, added, read_all
from bundle.result import MongoUse
from pipeline.settings import Mongo

_TIMEOUT_MS = round(TIMEOUT_S * 1000)
# Where each figure stands, by the names that mongod has given the place from version to version.
_COUNTERS = {
    "inserts": ("opcounters.insert",),
    "journal_bytes": ("wiredTiger.log.log bytes written",),
    "journal_sync_us": ("wiredTiger.log.log sync time duration (usecs)",),
    "network_in_bytes": ("network.bytesIn",),
}
_LEVELS = {
    "write_tickets_used": ("wiredTiger.concurrentTransactions.write.out", "queues.execution.write.out"),
    "write_tickets": (
        "wiredTiger.concurrentTransactions.write.totalTickets",
        "queues.execution.write.totalTickets",
    ),
    "queued_writers": ("globalLock.currentQueue.writers",),
    "cache_used_bytes": ("wiredTiger.cache.bytes currently in the cache",),
    "cache_dirty_bytes": ("wiredTiger.cache.tracked dirty bytes in the cache",),
    "cache_max_bytes": ("wiredTiger.cache.maximum bytes configured",),
}
_WANTED = ("opcounters", "network", "globalLock", "wiredTiger", "queues")
_COMMAND = {"serverStatus": 1, **dict.fromkeys(_WANTED, 1), "maxTimeMS": _TIMEOUT_MS}


class MongoReader:
    """Asks one server, or all members of a replica set.

    Of the user's own too, where the user may run the command (role ``clusterMonitor``).
    """

    def __init__(self, mongo: Mongo, member_uris: Sequence[str] = ()) -> None:
        """``mongo``: where it is, unless ``member_uris`` name every member; nothing is connected yet."""
        self._members = [_Member(uri) for uri in member_uris or (mongo.uri,)]

    def read(self) -> Figures | None:
        """Return the figures of now, of all members together; None where one does not answer, or will not."""
        found = read_all(each.read for each in self._members)
        return together(found) if found else None

    def close(self) -> None:
        """Leave; what it raises does not matter any more."""
        for member in self._members:
            member.close()


def together(found: Sequence[Figures]) -> Figures:
    """Make one of the figures of several members: of the journal's sync time the mean, of a level the highest.

    What a secondary copies counts as no insert there, so that the sum is what clients inserted, whoever is primary.
    """
    return added(found, _LEVELS, mean="journal_sync_us")


class _Member:
    """One server."""

    def __init__(self, uri: str) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            connect=False,
            appname="tidemark-counters",
            maxPoolSize=1,
            serverSelectionTimeoutMS=_TIMEOUT_MS,
            connectTimeoutMS=_TIMEOUT_MS,
            socketTimeoutMS=_TIMEOUT_MS,
            retryReads=False,
        )
        # Sections that it sends unasked, by its first answer: together they cost more than the rest.
        self._unwanted: dict[str, int] = {}

    def read(self) -> Figures | None:
        """Return the figures of now; None where it does not answer, or will not."""
        try:
            status = self._client.admin.command({**_COMMAND, **self._unwanted})
        except PyMongoError:
            return None
        if not self._unwanted:
            sections = [name for name, section in status.items() if isinstance(section, dict) and name[0] != "$"]
            self._unwanted = dict.fromkeys((name for name in sections if name not in _WANTED), 0)
        return figures_of(status)

    def close(self) -> None:
        """Leave; what it raises does not matter any more."""
        with contextlib.suppress(PyMongoError):
            self._client.close()


def figures_of(status: Mapping[str, Any]) -> Figures:
    """Return the figures that an answer holds; what a version does not report is left out."""
    found = {}
    for name, places in {**_COUNTERS, **_LEVELS}.items():
        for place in places:
            value = _at(status, place)
            if value is not None:
                found[name] = value
                break
    return found


def _at(status: Mapping[str, Any], place: str) -> float | None:
    value: Any = status
    for name in place.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return float(value) if isinstance(value, int | float) else None


def use(series: CounterSeries, start_ns: int, end_ns: int) -> MongoUse | None:
    """Sum up a window (monotonic ns); None where nothing was reported in it."""
    if not len(series.at_ns):
        return None
    used = series.within("write_tickets_used", start_ns, end_ns)
    sync_us_per_s = series.per_s("journal_sync_us", start_ns, end_ns)
    shares = _cache_shares(series)
    return MongoUse(
        inserts_per_s=series.per_s("inserts", start_ns, end_ns),
        write_tickets_used_mean=float(used.mean()) if len(used) else None,
        write_tickets_used_max=_largest(used),
        write_tickets=_largest(series.within("write_tickets", start_ns, end_ns)),
        queued_writers_max=_largest(series.within("queued_writers", start_ns, end_ns)),
        cache_used_share_max=_largest(shares.within("cache_used_share", start_ns, end_ns)),
        cache_dirty_share_max=_largest(shares.within("cache_dirty_share", start_ns, end_ns)),
        journal_bytes_per_s=series.per_s("journal_bytes", start_ns, end_ns),
        journal_sync_share=None if sync_us_per_s is None else sync_us_per_s / 1e6,
        network_in_bytes_per_s=series.per_s("network_in_bytes", start_ns, end_ns),
    )


def columns(series: CounterSeries, edges_ns: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return a column of the time series for each figure, one value a second; NaN where it was not."""
    found = {f"mongodb_{name}": series.growth(name, edges_ns) for name in _COUNTERS if name in series.figures}
    if "mongodb_journal_sync_us" in found:
        found["mongodb_journal_sync_s"] = found.pop("mongodb_journal_sync_us") / 1e6
    levels = CounterSeries(series.at_ns, {**series.figures, **_cache_shares(series).figures})
    for name in ("write_tickets_used", "write_tickets", "queued_writers", "cache_used_share", "cache_dirty_share"):
        if name in levels.figures:
            found[f"mongodb_{name}"] = levels.largest(name, edges_ns)
    return found


def _cache_shares(series: CounterSeries) -> CounterSeries:
    most = series.figures.get("cache_max_bytes")
    reported = [part for part in ("used", "dirty") if f"cache_{part}_bytes" in series.figures]
    if most is None:
        return CounterSeries()
    return CounterSeries(
        series.at_ns, {f"cache_{part}_share": series.figures[f"cache_{part}_bytes"] / most for part in reported}
    )


def _largest(values: NDArray[np.float64]) -> float | None:
    return float(values.max()) if len(values) else None

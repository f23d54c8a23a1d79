"""What the aggregates say, read from MongoDB: bounded by the minutes of an hour and one day, not by the events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.dashboard import latencies
from pipeline.dashboard.aggregate import DAY, MINUTE, OTHER, Aggregate, Scale, at, start_of
from pipeline.dashboard.database import Database
from pipeline.dashboard.rows import BIN_MS, BINS, MINUTE_MS
from pipeline.dashboard.sampler import Unseen
from pipeline.dashboard.sketches import Distinct, Frequent
from pipeline.dashboard.view import (
    Activity,
    FunnelStep,
    Latency,
    LatencyMinute,
    RankedName,
    RateChart,
    Top,
    TypeRates,
    WindowFigures,
)

log = logging.getLogger(__name__)

HOUR_MINUTES = 60
_NOW_MINUTES = 5
_RECENT_MINUTES = 10
_TOP = 10
_MOST_SERIES = 12  # of types: each minute of an hour may have others
_SETTLE_MS = 3_000  # the group counts about once a second: a step that has just ended lacks its last events
_MOST_LATENCIES = 5_000  # documents: sixty minutes of eighty processes
_WITHOUT_NAMES = {"types": 1, "users": 1, "pages": 1, "referrers": 1}


class ActivityReader:
    """Reads the aggregates; one read at a time is enough for all viewers."""

    def __init__(self, database: Database, funnel: Sequence[str]) -> None:
        """``funnel``: the steps in the order in which they are shown."""
        self._database = database
        self._funnel = funnel
        self._unreadable: dict[Scale, set[Any]] = {}

    async def read(self, unseen: Unseen) -> Activity:
        """Return what there is now.

        Raises:
            PyMongoError: MongoDB did not answer in time.
        """
        now_ms = time.time_ns() // 1_000_000
        minutes, days, minute_latencies = await asyncio.gather(
            self._minutes(now_ms), self._days(now_ms), self._latencies(now_ms)
        )
        return activity_of(now_ms, minutes, days, _latency(minute_latencies, now_ms, unseen), self._funnel)

    async def _minutes(self, now_ms: int) -> list[Aggregate]:
        first_ms = start_of(MINUTE, now_ms) - HOUR_MINUTES * MINUTE_MS
        return await self._aggregates(MINUTE, minutes_query(first_ms, now_ms), _WITHOUT_NAMES)

    async def _days(self, now_ms: int) -> list[Aggregate]:
        return await self._aggregates(DAY, {"_id": at(start_of(DAY, now_ms))}, {"next": 0})

    async def _aggregates(self, scale: Scale, query: dict[str, Any], fields: dict[str, int]) -> list[Aggregate]:
        documents = await self._database.aggregates(scale).find(query, fields).sort("_id", 1).to_list()
        known, unreadable = self._unreadable.get(scale, set()), set()
        found: list[Aggregate] = []
        for each in documents:
            try:
                found.append(Aggregate.from_document(scale, each))
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # the group begins it anew
                unreadable.add(each["_id"])
                if each["_id"] not in known:
                    log.warning("the document %s of %s is left out: %r", each["_id"], scale.suffix, error)
        self._unreadable[scale] = unreadable
        return found

    async def _latencies(self, now_ms: int) -> list[Mapping[str, Any]]:
        first_ms = start_of(MINUTE, now_ms) - HOUR_MINUTES * MINUTE_MS
        found = self._database.latencies.find(latencies_query(first_ms), {"at": 1, "buckets": 1})
        return await found.sort("at", -1).limit(_MOST_LATENCIES).to_list()


def minutes_query(first_ms: int, last_ms: int) -> dict[str, Any]:
    """Return the filter for the documents of minutes between two times."""
    return {"_id": {"$gte": at(first_ms), "$lte": at(last_ms)}}


def latencies_query(first_ms: int) -> dict[str, Any]:
    """Return the filter for the histograms since a time."""
    return {"at": {"$gte": at(first_ms)}}


def activity_of(
    now_ms: int, minutes: Sequence[Aggregate], days: Sequence[Aggregate], latency: Latency, funnel: Sequence[str]
) -> Activity:
    """Make of the last hour's ``minutes`` and today's day, if there is one, what the page shows."""
    this_minute_ms = start_of(MINUTE, now_ms)
    day = days[0] if days else Aggregate(DAY, start_of(DAY, now_ms))
    users_now = Distinct(MINUTE.precision)
    for each in minutes:
        if each.start_ms > this_minute_ms - _NOW_MINUTES * MINUTE_MS:
            users_now.merge(each.users)
    users_today = day.users.estimate()
    within_today = this_minute_ms - _NOW_MINUTES * MINUTE_MS >= day.start_ms
    return Activity(
        recent=_rates(minutes, now_ms - _RECENT_MINUTES * MINUTE_MS, now_ms - _SETTLE_MS, BIN_MS),
        hour=_rates(minutes, this_minute_ms - HOUR_MINUTES * MINUTE_MS, this_minute_ms, MINUTE_MS),
        # Two estimates: where the five minutes are of today, they may not seem to have more users than it.
        users_now=min(users_now.estimate(), users_today) if within_today else users_now.estimate(),
        users_today=users_today,
        events_last_minute=sum(each.events for each in minutes if each.start_ms == this_minute_ms - MINUTE_MS),
        refused_today=day.refused,
        last_hour=_window(minutes),
        today=_window([day]),
        funnel=[FunnelStep(step, day.funnel[step].estimate() if step in day.funnel else 0) for step in funnel],
        latency=latency,
        counted_until_ms=minutes[-1].start_ms if minutes else 0,
    )


def _rates(minutes: Sequence[Aggregate], first_ms: int, end_ms: int, step_ms: int) -> RateChart:
    """Return events a second by type, for whole steps from ``first_ms`` on that are over at ``end_ms``."""
    start_ms = first_ms // step_ms * step_ms
    steps = end_ms // step_ms - start_ms // step_ms
    per_s: dict[str, list[float]] = {}
    for minute in minutes:
        for name, counts in minute.types.items():
            values = per_s.setdefault(name, [0.0] * steps)
            for number in range(BINS):
                place = (minute.start_ms + number * BIN_MS - start_ms) // step_ms
                if 0 <= place < steps:
                    values[place] += counts[number] * 1000 / step_ms
    rounded = {name: [round(value, 2) for value in values] for name, values in per_s.items()}
    ordered = sorted(rounded, key=lambda name: (name == OTHER, -sum(rounded[name]), name))
    series = [TypeRates(name, rounded[name]) for name in ordered if any(rounded[name])]
    if len(series) > _MOST_SERIES:
        others = zip(*(each.per_s for each in series[_MOST_SERIES - 1 :]), strict=True)
        series[_MOST_SERIES - 1 :] = [TypeRates(OTHER, [round(sum(values), 2) for values in others])]
    return RateChart(start_ms, step_ms, series)


def _window(aggregates: Sequence[Aggregate]) -> WindowFigures:
    pages, referrers = Frequent(DAY.names), Frequent(DAY.names)
    for each in aggregates:
        pages.merge(each.pages)
        referrers.merge(each.referrers)
    return WindowFigures(sum(each.events for each in aggregates), _top(pages), _top(referrers))


def _top(names: Frequent) -> Top:
    return Top([RankedName(name, count) for name, count in names.top(_TOP)], names.missed, names.total)


def _latency(documents: Sequence[Mapping[str, Any]], now_ms: int, unseen: Unseen) -> Latency:
    by_minute: dict[int, list[list[int]]] = {}
    for each in documents:
        by_minute.setdefault(round(each["at"].timestamp() * 1000), []).append(each["buckets"])
    minutes = {at_ms: latencies.summed(found) for at_ms, found in sorted(by_minute.items())}
    since_ms = start_of(MINUTE, now_ms) - _NOW_MINUTES * MINUTE_MS
    recent = latencies.summed(found for at_ms, found in minutes.items() if at_ms > since_ms)
    return Latency(
        latencies.percentiles(recent),
        [LatencyMinute(at_ms, latencies.percentiles(found)) for at_ms, found in minutes.items()],
        unseen.waiting,
        round(unseen.oldest_s, 1),
        unseen.given_up,
    )

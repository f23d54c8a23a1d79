"""The newest events with a filter: a walk along the index of timestamps, over a fixed number of events at most."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import json_util
from msgspec import Struct

from pipeline.dashboard.aggregate import at
from pipeline.dashboard.database import Database
from pipeline.dashboard.view import Newest, ShownEvent

SEARCHED = 10_000
"""So many of the newest events are looked at, whatever the filter."""

_SHOWN = 50
_MOST_PROPS = 500
_MOST_NAME = 200
_MOST_FIELD_BYTES = 16 * 1024  # of a field that is read whole: fifty events may have a megabyte each
_AHEAD_MS = 5 * 60_000  # a client whose clock is wrong by more would stay on top for ever
_LONGEST_MS = 2_000


class Filter(Struct, frozen=True):
    """What the events must have; empty for anything. ``url``: a part of the page's URL."""

    event_type: str = ""
    user_id: str = ""
    url: str = ""


def pipeline_of(wanted: Filter, now_ms: int) -> list[dict[str, Any]]:
    """Return the aggregation: the newest events by the index ``timestamp: -1``, then what fits of them."""
    fitting: dict[str, Any] = {}
    if wanted.event_type:
        fitting["event_type"] = wanted.event_type
    if wanted.user_id:
        fitting["user_id"] = wanted.user_id
    if wanted.url:
        # A regular expression may have no NUL in it, but may name it.
        fitting["props.url"] = {"$regex": re.escape(wanted.url).replace("\0", r"\x00")}
    return [
        {"$match": {"timestamp": {"$lte": at(now_ms + _AHEAD_MS)}}},
        {"$sort": {"timestamp": -1}},
        {"$limit": SEARCHED},
        {"$match": fitting},
        {"$limit": _SHOWN},
        {"$project": {"timestamp": 1, **{name: _short(name) for name in ("event_type", "user_id", "props")}}},
    ]


def _short(name: str) -> dict[str, Any]:
    """Return a field, or if it is too large to send in order to show a few words of it, how large it is."""
    size = {"$bsonSize": {"value": f"${name}"}}
    said = {"$concat": ["(too large to show: ", {"$toString": size}, " bytes)"]}
    return {"$cond": [{"$gt": [size, _MOST_FIELD_BYTES]}, said, f"${name}"]}


async def newest(database: Database, wanted: Filter) -> Newest:
    """Read the newest events.

    Raises:
        PyMongoError: MongoDB did not answer in time.
    """
    now_ms = time.time_ns() // 1_000_000
    found = await database.events.aggregate(pipeline_of(wanted, now_ms), maxTimeMS=_LONGEST_MS)
    return Newest(now_ms, SEARCHED, [_shown(each) async for each in found])


def _shown(document: Mapping[str, Any]) -> ShownEvent:
    """Return the event as text, whatever another program has put into the collection."""
    found = document.get("props", {})
    options = json_util.RELAXED_JSON_OPTIONS
    props = found if isinstance(found, str) else json_util.dumps(found, json_options=options, ensure_ascii=False)
    return ShownEvent(
        _cut(str(document["_id"]), _MOST_NAME),
        _cut(str(document.get("event_type", "")), _MOST_NAME),
        _cut(str(document.get("user_id", "")), _MOST_NAME),
        _cut(_time(document.get("timestamp")), _MOST_NAME),
        _cut(props, _MOST_PROPS),
    )


def _cut(text: str, most: int) -> str:
    short = text if len(text) <= most else text[:most] + "..."
    return short.encode("utf-8", "replace").decode()


def _time(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)

"""The newest events: what MongoDB is asked for, and what is shown of documents that another program has written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from pipeline.dashboard.aggregate import at
from pipeline.dashboard.newest import SEARCHED, Filter, _shown, pipeline_of
from tests.unit.pipeline.dashboard.records import NOON_MS


def fitting(wanted: Filter) -> dict[str, Any]:
    found: dict[str, Any] = pipeline_of(wanted, NOON_MS)[3]["$match"]
    return found


def test_a_filter_asks_for_all_that_it_names() -> None:
    found = fitting(Filter("signup", "123", "/a.b"))
    assert found == {"event_type": "signup", "user_id": "123", "props.url": {"$regex": "/a\\.b"}}
    assert fitting(Filter()) == {}


def test_a_fixed_number_is_looked_at_before_the_filter_and_none_far_in_the_future() -> None:
    time, sort, limit, *_ = pipeline_of(Filter("rare"), NOON_MS)
    assert time == {"$match": {"timestamp": {"$lte": at(NOON_MS + 300_000)}}}
    assert (sort, limit) == ({"$sort": {"timestamp": -1}}, {"$limit": SEARCHED})


def test_a_url_with_a_nul_is_asked_for_by_name() -> None:
    assert fitting(Filter(url="a\0b")) == {"props.url": {"$regex": "a\\x00b"}}


@pytest.mark.parametrize("value", [None, 5, [], {"a": 1}, b"bytes", "x" * 100_000, "\ud800", ObjectId()])
def test_whatever_a_document_holds_is_a_short_text(value: Any) -> None:
    found = _shown({"_id": value, "event_type": value, "user_id": value, "timestamp": value, "props": {"a": value}})
    for each in (found.id, found.event_type, found.user_id, found.at, found.props):
        assert len(each.encode()) <= 520


def test_what_is_missing_is_empty() -> None:
    found = _shown({"_id": 1})
    assert (found.event_type, found.user_id, found.props) == ("", "", "{}")


def test_a_time_is_shown_in_utc() -> None:
    assert _shown({"_id": 1, "timestamp": datetime(2025, 11, 26, 12, tzinfo=UTC)}).at == "2025-11-26T12:00:00.000Z"

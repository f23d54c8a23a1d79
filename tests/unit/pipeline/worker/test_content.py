"""What counts as the same event: docs/identifiers.md."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.int64 import Int64

from pipeline.worker.content import same_content

ID = ObjectId()
WHEN = datetime.fromisoformat("2025-11-26T12:00:00.123")
WHEN_MS = 1_764_158_400_123


def document(props: Any = None, **changes: Any) -> dict[str, Any]:
    event = {"_id": ID, "event_type": "page_view", "user_id": "1", "props": props or {}, "timestamp": WHEN}
    return {**event, **changes}


@pytest.mark.parametrize(
    ("stored", "came"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"c": 2, "b": 1}]}),
        ({"$ref": "c", "$id": 1}, {"$id": 1, "$ref": "c"}),
        (
            {"r": {"$id": {"x": 1, "y": 2}, "$db": "d", "$ref": "c"}},
            {"r": {"$ref": "c", "$id": {"y": 2, "x": 1}, "$db": "d"}},
        ),
        ({"n": 1}, {"n": 1.0}),
        ({"n": Int64(1)}, {"n": 1}),
        ({"n": 0.0}, {"n": -0.0}),
        ({"n": float("nan")}, {"n": float("nan")}),
        ({"n": 2**53}, {"n": float(2**53)}),
    ],
)
def test_order_of_names_and_kind_of_number_do_not_count(stored: Any, came: Any) -> None:
    assert same_content(bson.encode(document(stored)), document(came), 0)


@pytest.mark.parametrize(
    ("stored", "came"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": None}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1]}, {"a": 1}),
        ({"a": {}}, {"a": []}),
        ({"a": {"0": 1}}, {"a": [1]}),
        ({"n": 2**53 + 1}, {"n": float(2**53)}),
        ({"$ref": "c", "$id": 1}, {"$ref": "c", "$id": 2}),
    ],
)
def test_other_values_are_other_content(stored: Any, came: Any) -> None:
    assert not same_content(bson.encode(document(stored)), document(came), 0)


def test_timestamp_counts_unless_it_is_the_records_own() -> None:
    other = datetime.fromisoformat("2025-11-26T11:00:00")
    stored = bson.encode(document(timestamp=other))
    assert not same_content(stored, document(), WHEN_MS + 1)
    assert same_content(stored, document(), WHEN_MS)
    assert not same_content(stored, document({"a": 1}), WHEN_MS)

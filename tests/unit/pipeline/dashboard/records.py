"""Records as Kafka returns them, for the tests of what the dashboard counts."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

MINUTE_MS = 60_000
NOON_MS = 1_764_158_400_000  # 2025-11-26T12:00:00Z


class Record(Struct):
    topic: str = "events_page_view"
    partition: int = 0
    offset: int = 0
    timestamp: int = NOON_MS
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    serialized_value_size: int = 0


def event(offset: int, user: str = "1", *, kind: str = "page_view", at_ms: int = NOON_MS, **props: Any) -> Record:
    value = json.dumps({"event": kind, "user_id": user, "props": props}).encode()
    return Record(offset=offset, timestamp=at_ms, value=value, serialized_value_size=len(value))


def raw(offset: int, value: bytes | None, at_ms: int = NOON_MS) -> Record:
    return Record(offset=offset, timestamp=at_ms, value=value)

"""Requests that no client should send: the API must answer each with a 4xx, and store none.

Every case is a pure function of its number, so that a run can be repeated.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import lru_cache

import msgspec

from traffic.payload import BATCH_PATH, JSON_HEADERS, SINGLE_PATH, Headers, Payload
from traffic.spec import MAX_BATCH_EVENTS

# Above the API's bounds on one event, on a body, and on a decompressed body (pipeline.settings.Api).
_LARGE_EVENT_BYTES = 80 * 1024
_LARGE_BODY_BYTES = 5 * 1024 * 1024
_LARGE_DECOMPRESSED_BYTES = 20 * 1024 * 1024
# The costly cases come rarely, or they would load the network and not the API.
_LARGE_BODY_EVERY = 499

_GZIP_HEADERS = (*JSON_HEADERS, ("Content-Encoding", "gzip"))


def _event(**fields: object) -> bytes:
    return msgspec.json.encode({"event": "page_view", "user_id": "user-1", "props": {"url": "/"}} | fields)


def _without(field: str) -> bytes:
    return msgspec.json.encode({"event": "page_view", "user_id": "user-1"}, order="sorted").replace(
        f'"{field}"'.encode(), b'"other"'
    )


_MALFORMED: tuple[tuple[str, str, bytes], ...] = (
    ("nothing", SINGLE_PATH, b" "),
    ("no JSON", SINGLE_PATH, b"event=page_view&user_id=user-1"),
    ("JSON cut off", SINGLE_PATH, _event()[:-9]),
    ("bytes that are no UTF-8", SINGLE_PATH, _event().replace(b"user-1", b"\xff\xfe")),
    ("nested without end", SINGLE_PATH, b"[" * 20_000),
    ("number for an object", SINGLE_PATH, b"42"),
    ("batch where one belongs", SINGLE_PATH, b"[" + _event() + b"]"),
    ("event missing", SINGLE_PATH, _without("event")),
    ("event empty", SINGLE_PATH, _event(event="")),
    ("event a number", SINGLE_PATH, _event(event=7)),
    ("user_id missing", SINGLE_PATH, _without("user_id")),
    ("user_id an object", SINGLE_PATH, _event(user_id={"id": 1})),
    ("props a list", SINGLE_PATH, _event(props=["/"])),
    ("event too large", SINGLE_PATH, _event(props={"url": "x" * _LARGE_EVENT_BYTES})),
    ("no batch", BATCH_PATH, b'{"events":"all"}'),
    ("too many events", BATCH_PATH, b'{"events":[' + b",".join([_event()] * (MAX_BATCH_EVENTS + 1)) + b"]}"),
)


@lru_cache(maxsize=1)
def _large_body() -> bytes:
    return _event(props={"url": "x" * _LARGE_BODY_BYTES})


@lru_cache(maxsize=1)
def _gzip_bomb() -> bytes:
    return gzip.compress(b" " * _LARGE_DECOMPRESSED_BYTES)


# Name, path, headers, and the body made when it is first needed.
_SPECIAL: tuple[tuple[str, str, Headers, Callable[[], bytes]], ...] = (
    ("type not JSON", SINGLE_PATH, (("Content-Type", "image/png"),), _event),
    ("gzip that is none", SINGLE_PATH, _GZIP_HEADERS, _event),
    ("gzip that swells", SINGLE_PATH, _GZIP_HEADERS, _gzip_bomb),
)


def prepare() -> None:
    """Make the large bodies now: to make one takes longer than a request may be late."""
    _large_body()
    _gzip_bomb()


def payload(number: int) -> Payload:
    """Return hostile request ``number``; all cases come round, the largest body rarely."""
    if number % _LARGE_BODY_EVERY == _LARGE_BODY_EVERY - 1:
        return Payload(SINGLE_PATH, JSON_HEADERS, _large_body(), "hostile: body too large")
    case = number % (len(_MALFORMED) + len(_SPECIAL))
    if case < len(_MALFORMED):
        name, path, body = _MALFORMED[case]
        return Payload(path, JSON_HEADERS, body, f"hostile: {name}")
    name, path, headers, make = _SPECIAL[case - len(_MALFORMED)]
    return Payload(path, headers, make(), f"hostile: {name}")

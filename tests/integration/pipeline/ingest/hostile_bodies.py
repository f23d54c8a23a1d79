"""Bodies made to cost the API as much as they can: small on the wire, or of a form that invites quadratic work."""

from __future__ import annotations

import gzip
from collections.abc import Callable

_EVENT = b'{"event":"e","user_id":"u","props":{"x":%b}}'
_MEMBER = gzip.compress(b"", mtime=0)


def _batch(*events: bytes) -> bytes:
    return b"[" + b",".join(events) + b"]"


def _filled(value: bytes, times: int, events: int) -> bytes:
    """A batch of events that each hold a list of ``value``."""
    return _batch(*[_EVENT % (b"[" + b",".join([value] * times) + b"]")] * events)


def _users(number: int) -> bytes:
    return _batch(*[b'{"event":"e","user_id":"%b%06d"}' % ("😀".encode() * 250, each) for each in range(number)])


def _keys() -> bytes:
    return _batch(*[_EVENT % (b"{" + b",".join(b'"%05x":1' % n for n in range(5_000)) + b"}")] * 200)


BODIES: dict[str, tuple[Callable[[], bytes], bool]] = {
    "gzip members": (lambda: _MEMBER * (4_194_304 // len(_MEMBER)), True),
    "gzip bomb": (lambda: gzip.compress(b" " * 50_000_000), True),
    "blanks": (lambda: gzip.compress(b"[" + b" " * 16_000_000 + b"1]"), True),
    "empty objects": (lambda: gzip.compress(_filled(b"{}", 5_000, 990)), True),
    "empty arrays": (lambda: gzip.compress(_filled(b"[]", 5_000, 990)), True),
    "empty arrays, fewer": (lambda: _filled(b"[]", 330, 1_000), False),
    "empty arrays, just taken": (lambda: _filled(b"[]", 240, 1_000), False),
    "numbers that grow": (lambda: gzip.compress(_filled(b"1e15", 3_000, 990)), True),
    "long integers": (lambda: gzip.compress(_filled(b"1" * 4_300, 14, 250)), True),
    "long floats": (lambda: gzip.compress(_filled(b"0." + b"1" * 60_000, 1, 250)), True),
    "text": (lambda: gzip.compress(_filled(b'"' + b"x" * 15_000 + b'"', 1, 1_000)), True),
    "escapes": (lambda: gzip.compress(_filled(b'"' + b"\\u00e9" * 2_500 + b'"', 1, 1_000)), True),
    "NaN at the end": (lambda: gzip.compress(_filled(b"1.5," * 10_000 + b"NaN", 1, 350)), True),
    "many keys": (lambda: gzip.compress(_keys()), True),
    "a long key above objects": (
        lambda: gzip.compress(_batch(*[_EVENT % (b'{"' + b"k" * 40_000 + b'":[' + b"{}," * 800 + b"1]}")] * 300)),
        True,
    ),
    "deep": (lambda: b"[" * 4_000_000, False),
    "deep events": (lambda: gzip.compress(_filled(b"[" * 100 + b"]" * 100, 10, 240)), True),
    "deep, one after the other": (lambda: _batch(*[b"[" * 2_000 + b"]" * 2_000] * 1_000), False),
    "a string that does not end": (lambda: b'["' + b"\\" * 4_000_001, False),
    "quotes": (lambda: b"[" + b'"' * 4_000_001, False),
    "commas": (lambda: b"[" + b"," * 4_000_000, False),
    "bad events": (lambda: _batch(*[b'{"event":%d}' % n for n in range(1_000)]), False),
    "unknown names": (lambda: _batch(*[b'{"%b":1}' % (b"n" * 4_000)] * 1_000), False),
    "users with long names": (lambda: _users(1_000), False),
}
"""By name: what makes it, and whether it is gzip."""

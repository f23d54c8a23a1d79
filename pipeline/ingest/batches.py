"""The events of a batch, one by one and unread, so that one bad event does not spoil the others."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import NoReturn

import msgspec

from pipeline.ingest.answers import RefusedError

Unread = memoryview | msgspec.Raw
"""The JSON of an event; blanks may follow it."""
Slices = Generator[None, None, int]
"""A scan that yields None after each slice of work and returns the position that it has reached in the body."""

_AT_ONCE_BYTES, _FEW_ITEMS_BYTES = 256 * 1024, 64 * 1024
_COMMAS_OF_AN_EVENT = 30  # most events have fewer; splitting 30,000 items takes 5 ms
_WINDOW_BYTES = 64 * 1024  # scanned in one piece
_STEPS = 2_000  # brackets of one slice
_MAX_NAME_BYTES = 100

_BLANKS = re.compile(rb"[ \t\n\r]*+")
_NAME = re.compile(rb'"(?:[^"\\]|\\.)*+"')
# All up to the next bracket; whole strings are passed over. Between the events of a batch, up to a comma too.
_INSIDE = re.compile(rb'(?:[^\[\]{}"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_BETWEEN = re.compile(rb'(?:[^\[\]{}",]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_COMMA, _QUOTE, _BACKSLASH = b",", b'"', b"\\"
_FIRST = tuple(bytes((each,)) for each in b'{["-0123456789tfn')  # of any JSON
_BEGINS, _ENDS = (b"[", b"{"), (b"]", b"}")
_ENVELOPE = re.compile(rb'[ \t\n\r]*+\{[ \t\n\r]*+"events"[ \t\n\r]*+:')
_END_OF_ENVELOPE = re.compile(rb"[ \t\n\r]*+\}[ \t\n\r]*+")
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class BatchReader:
    """Splits the body of a batch into its events; stops if there are more than allowed.

    It does not look inside an event: the reader of the event finds out whether that is JSON.
    The time is linear in the size of the body, however deep it is nested.
    """

    def __init__(self, max_events: int) -> None:
        """``max_events``: of one batch."""
        self._max_events = max_events

    def split(self, body: bytes) -> Iterator[Unread | None]:
        """Yield the events of ``body``, an array or ``{"events": [...]}``; yield None after a slice of work.

        Raises:
            RefusedError: 400 where this is no batch, 413 where it has too many events.
        """
        items = self._at_once(body)
        if items is None:
            yield from self._scan(body)
            return
        if not items:
            raise _empty()
        if len(items) > self._max_events:
            raise self._too_many()
        yield from items

    def _at_once(self, body: bytes) -> list[msgspec.Raw] | None:
        """Split a small body in one piece; None if it must be scanned, because it is large or something is wrong."""
        if len(body) > _FEW_ITEMS_BYTES and (
            len(body) > _AT_ONCE_BYTES or body.count(b",") > _COMMAS_OF_AN_EVENT * self._max_events
        ):
            return None
        envelope = _ENVELOPE.match(body)
        begin, end = 0, len(body)
        if envelope:
            begin, end = envelope.end(), body.rfind(b"]") + 1
            if not _END_OF_ENVELOPE.fullmatch(body, end):
                return None
        try:
            return _decode_items(memoryview(body)[begin:end])
        except (ValueError, RecursionError):
            return None

    def _scan(self, body: bytes) -> Iterator[memoryview | None]:
        at, has_envelope = yield from _open(body)
        at = yield from _along(_BLANKS, body, at)
        if body[at : at + 1] == b"]":
            raise _empty()
        view = memoryview(body)
        number = 0
        while True:
            begin = at
            at = yield from _event(body, at)
            if at == begin:
                _malformed(body, at)
            number += 1
            if number > self._max_events:
                raise self._too_many()
            yield view[begin:at]
            if body[at : at + 1] == b"]":
                break
            at = yield from _along(_BLANKS, body, at + 1)
        at = yield from _along(_BLANKS, body, at + 1)
        if has_envelope:
            at = yield from _close_envelope(body, at)
        if at < len(body):
            _malformed(body, at)

    def _too_many(self) -> RefusedError:
        return RefusedError(413, "too_many_events", f"more than {self._max_events} events: send several batches")


def _open(body: bytes) -> Generator[None, None, tuple[int, bool]]:
    """Scan past the bracket that begins the events; also return whether they are in an object."""
    at = yield from _along(_BLANKS, body, 0)
    has_envelope = body[at : at + 1] == b"{"
    if has_envelope:
        at = yield from _open_envelope(body, at)
    if body[at : at + 1] not in _FIRST:
        _malformed(body, at)
    if body[at : at + 1] != b"[":
        raise _no_batch()
    return at + 1, has_envelope


def _open_envelope(body: bytes, at: int) -> Slices:
    """Scan from the brace to the value of ``events``."""
    at = yield from _along(_BLANKS, body, at + 1)
    name = _NAME.match(body, at, at + _MAX_NAME_BYTES)
    if name is None and body[at : at + 1] not in (_QUOTE, b"}"):
        _malformed(body, at)
    if name is None or _text(name[0]) != "events":
        raise _no_batch()
    at = yield from _along(_BLANKS, body, name.end())
    if body[at : at + 1] != b":":
        _malformed(body, at)
    return (yield from _along(_BLANKS, body, at + 1))


def _close_envelope(body: bytes, at: int) -> Slices:
    if body[at : at + 1] == _COMMA:
        raise _no_batch()
    if body[at : at + 1] != b"}":
        _malformed(body, at)
    return (yield from _along(_BLANKS, body, at + 1))


def _event(body: bytes, at: int) -> Slices:
    """Scan from the beginning of an event to the comma or bracket after it."""
    depth = steps = 0
    while True:
        at = yield from _along(_INSIDE if depth else _BETWEEN, body, at)
        mark = body[at : at + 1]
        if mark in _BEGINS:
            depth += 1
        elif depth and mark in _ENDS:
            depth -= 1
        elif not depth and mark in (_COMMA, b"]"):
            return at
        elif mark == _QUOTE:  # of a string that does not end within a window
            at = yield from _string(body, at + 1)
        else:
            _malformed(body, at)
        at += 1
        steps += 1
        if steps % _STEPS == 0:
            yield None


def _string(body: bytes, at: int) -> Slices:
    """Scan from behind a quote to the quote that ends the string."""
    while True:
        at = yield from _along(_STRING, body, at)
        mark = body[at : at + 1]
        if mark == _QUOTE:
            return at
        if mark != _BACKSLASH:
            _malformed(body, at)
        at += 2  # it was the last of a window


def _along(pattern: re.Pattern[bytes], body: bytes, at: int) -> Slices:
    """Scan as far as ``pattern`` matches."""
    while True:
        found = pattern.match(body, at, at + _WINDOW_BYTES)
        end = found.end() if found else at
        if end < at + _WINDOW_BYTES:
            return end
        at = end
        yield None


def _text(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except ValueError:
        return None


def _empty() -> RefusedError:
    return RefusedError(400, "invalid_batch", "the batch is empty: send at least one event")


def _no_batch() -> RefusedError:
    return RefusedError(400, "invalid_batch", 'a batch is {"events": [...]} or an array of events, and nothing else')


def _malformed(body: bytes, at: int) -> NoReturn:
    what = "the body ends too early" if at >= len(body) else f"malformed at byte {at}"
    raise RefusedError(400, "invalid_json", f"this is not JSON: {what}")

"""Request bodies: read within a bound of bytes and of time, and decompressed within another."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct
from sanic import Request
from sanic.exceptions import PayloadTooLarge, SanicException

from pipeline.ingest.admission import Reservation
from pipeline.ingest.answers import RefusedError
from pipeline.ingest.slices import Work

CONTENT_TYPES = frozenset(("", "application/json", "text/plain"))
"""What is read as JSON: text/plain is what browsers let a beacon send without asking first."""

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_MOST_MEMBERS = 1_024  # of gzip in one body: as many as a batch has events
_IN_BYTES, _OUT_BYTES = 16 * 1024, 256 * 1024  # decompressed in one piece
_READS_OF_A_TURN = 1_000  # 2 ms


class BodyLimits(Struct, frozen=True):
    """Bounds of a route's bodies: of their bytes, before and after decompression, and of the time for them.

    ``timeout_s``: for reading one. ``room_timeout_s``: how long one waits before it is read while too many are in hand.
    ``most_events``: how many events a body of so many bytes may have.
    """

    max_bytes: int
    max_decompressed_bytes: int
    timeout_s: float
    room_timeout_s: float
    most_events: Callable[[int], int]


async def read_body(request: Request, reservation: Reservation, limits: BodyLimits, work: Work) -> bytes:
    """Return the decompressed body of ``request``; what is being read counts in ``reservation``.

    Raises:
        RefusedError: 408, 413, 415, or 400 for a body that is not the gzip it claims to be.
        UnavailableError: ``reservation`` may not grow.
    """
    stream = _stream(request)
    headers = request.headers
    encoding = headers.getone("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise RefusedError(415, "unsupported_encoding", f"Content-Encoding {encoding[:50]!r}: send gzip or none")
    content_type = headers.getone("content-type", "")
    if content_type not in CONTENT_TYPES:
        content_type = content_type.partition(";")[0].strip().lower()
    if content_type not in CONTENT_TYPES:
        message = f"Content-Type {content_type[:100]!r}: send application/json or text/plain"
        raise RefusedError(415, "unsupported_media_type", message)
    if stream.request_bytes > limits.max_bytes:
        raise too_large(limits.max_bytes)
    # Nothing of it counts yet, and what there is of it waits in the connection's own small buffer.
    size_bytes = stream.request_bytes
    there_bytes = min(size_bytes, len(stream.recv_buffer))
    # Its events count once the whole body is there: a slow client takes no room from others.
    events = limits.most_events(size_bytes) if 0 < size_bytes == there_bytes else 0
    if not reservation.admit_at_once(events, there_bytes):
        await reservation.admit(events, there_bytes, limits.room_timeout_s)
    data: bytes | None = stream.take_body()
    if data is None:
        try:
            async with asyncio.timeout(limits.timeout_s):
                data = await _read(request, reservation, limits.max_bytes)
        except TimeoutError as error:
            _abandon(request)
            message = f"the body was not there within {limits.timeout_s:g} s"
            raise RefusedError(408, "request_timeout", message) from error
    if encoding == "gzip":
        return await gunzip(data, limits.max_decompressed_bytes, reservation, work)
    if len(data) > limits.max_decompressed_bytes:
        raise too_large(limits.max_decompressed_bytes)
    return data


def refuse_body(request: Request) -> None:
    """Do not ask for the rest of the body; Sanic discards what is already on its way."""
    if _stream(request).expecting_continue:
        _abandon(request)


async def gunzip(data: bytes, max_bytes: int, reservation: Reservation, work: Work) -> bytes:
    """Decompress ``data`` in slices to at most ``max_bytes``; ``reservation`` grows with the output.

    Raises:
        RefusedError: 413 beyond ``max_bytes``, 400 where it is not whole and valid gzip.
        UnavailableError: ``reservation`` may not grow, or others do long work.
    """
    parts: list[bytes] = []
    size_bytes = 0
    work.begin()
    for part in _inflate(data, max_bytes):
        parts.append(part)
        size_bytes += len(part)
        if size_bytes > reservation.size_bytes:
            reservation.grow(size_bytes - reservation.size_bytes)
        if work.is_due:
            if reservation.events:  # while it waits for its turn, others can have its room for events
                reservation.exchange(0, reservation.size_bytes)
            await work.pause()
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _inflate(data: bytes, max_bytes: int) -> Iterator[bytes]:
    """Yield the output in pieces that each take a fraction of a millisecond."""
    view = memoryview(data)
    left, at, members = max_bytes, 0, 0
    while at < len(view):
        members += 1
        if members > _MOST_MEMBERS:
            raise RefusedError(400, "invalid_gzip", f"more than {_MOST_MEMBERS} gzip members: compress it in one piece")
        decompressor = zlib.decompressobj(_GZIP_WINDOW)
        while not decompressor.eof:
            piece: bytes | memoryview = decompressor.unconsumed_tail
            if not piece:
                piece = view[at : at + _IN_BYTES]
                at += len(piece)
            if not piece:
                raise RefusedError(400, "invalid_gzip", "the body is not valid gzip: its end is missing")
            try:
                part = decompressor.decompress(piece, min(_OUT_BYTES, left + 1))
            except zlib.error as error:
                raise RefusedError(400, "invalid_gzip", f"the body is not valid gzip: {error}") from error
            left -= len(part)
            if left < 0:
                raise too_large(max_bytes)
            yield part
        at -= len(decompressor.unused_data)


def too_large(max_bytes: int) -> RefusedError:
    """The refusal for a body beyond ``max_bytes``."""
    return RefusedError(413, "body_too_large", f"the body is larger than {max_bytes} bytes: send less at once")


async def _read(request: Request, reservation: Reservation, max_bytes: int) -> bytes:
    stream = _stream(request)
    # The handlers read for themselves: Sanic's own limit is lifted for them, ours holds.
    stream.request_max_size = max_bytes
    body = bytearray()
    reads = 0
    try:
        while stream.request_body:
            await stream.read_into(body)  # not a list: chunks of two bytes each would make it twenty times as large
            if len(body) > reservation.size_bytes:
                reservation.grow(len(body) - reservation.size_bytes)
            if len(body) > max_bytes:
                raise too_large(max_bytes)
            reads += 1
            if reads % _READS_OF_A_TURN == 0:
                await asyncio.sleep(0)
    except PayloadTooLarge as error:
        raise too_large(max_bytes) from error
    except SanicException as error:
        raise RefusedError(400, "invalid_body", "the body is cut off or its chunks are malformed") from error
    return bytes(body)


def _abandon(request: Request) -> None:
    """Have the connection closed after the answer, whatever is still to come on it."""
    stream = _stream(request)
    stream.keep_alive = False
    stream.request_body = None
    stream.expecting_continue = False  # or Sanic would ask for the body in the same breath as it refuses it


def _stream(request: Request) -> Any:
    """The HTTP/1.1 side of ``request``; Sanic's annotations of it do not fit what it does."""
    return request.stream

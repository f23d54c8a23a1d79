"""Request bodies: read within a bound of bytes and of time, and decompressed within another."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from msgspec import Struct
from sanic import Request
from sanic.exceptions import PayloadTooLarge, SanicException

from pipeline.ingest.admission import Hold
from pipeline.ingest.answers import RefusedError

CONTENT_TYPES = frozenset(("", "application/json", "text/plain"))
"""What is read as JSON: text/plain is what browsers let a beacon send without asking first."""

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_DISCARD_S = 1.0
_DISCARD_BYTES = 8 * 1024 * 1024


class BodyLimits(Struct, frozen=True):
    """Bounds of a route's bodies: of their bytes, before and after decompression, and of the time for them.

    ``timeout_s``: for reading one. ``room_timeout_s``: how long one waits before it is read while too many are in hand.
    """

    max_bytes: int
    max_decompressed_bytes: int
    timeout_s: float
    room_timeout_s: float


async def read_body(request: Request, hold: Hold, limits: BodyLimits) -> bytes:
    """Give the decompressed body of ``request``; what is being read counts in ``hold``.

    Raises:
        RefusedError: 408, 413, 415, or 400 for a body that is not the gzip it claims to be.
        UnavailableError: ``hold`` may not grow.
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
    there_bytes = min(stream.request_bytes, len(stream.recv_buffer))
    if not hold.admit_at_once(0, there_bytes):
        await hold.admit(0, there_bytes, limits.room_timeout_s)
    data: bytes | None = stream.take_body()
    if data is None:
        try:
            async with asyncio.timeout(limits.timeout_s):
                data = await _read(request, hold, limits.max_bytes)
        except TimeoutError as error:
            _abandon(request)
            message = f"the body was not there within {limits.timeout_s:g} s"
            raise RefusedError(408, "request_timeout", message) from error
    if encoding == "gzip":
        return gunzip(data, limits.max_decompressed_bytes)
    if len(data) > limits.max_decompressed_bytes:
        raise too_large(limits.max_decompressed_bytes)
    return data


async def discard_body(request: Request) -> None:
    """Read away, for a moment, what a refused client is still sending, so that it can read the answer."""
    stream = _stream(request)
    if not stream.request_body:
        return
    try:
        if not stream.expecting_continue:
            async with asyncio.timeout(_DISCARD_S):
                size_bytes = 0
                while size_bytes < _DISCARD_BYTES:
                    data = await stream.read()
                    if data is None:
                        return
                    size_bytes += len(data)
    except (TimeoutError, SanicException):
        pass  # it is refused already: all that is left to do is to close the connection
    _abandon(request)


def gunzip(data: bytes, max_bytes: int) -> bytes:
    """Decompress ``data``, never holding more than ``max_bytes`` of what comes out.

    Raises:
        RefusedError: 413 beyond ``max_bytes``, 400 where it is not whole and valid gzip.
    """
    parts: list[bytes] = []
    left = max_bytes
    while data:
        decompressor = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = decompressor.decompress(data, left + 1)
        except zlib.error as error:
            raise RefusedError(400, "invalid_gzip", f"the body is not valid gzip: {error}") from error
        left -= len(part)
        if left < 0:
            raise too_large(max_bytes)
        if not decompressor.eof:
            raise RefusedError(400, "invalid_gzip", "the body is not valid gzip: its end is missing")
        parts.append(part)
        data = decompressor.unused_data
    return b"".join(parts)


def too_large(max_bytes: int) -> RefusedError:
    """The refusal for a body beyond ``max_bytes``."""
    return RefusedError(413, "body_too_large", f"the body is larger than {max_bytes} bytes: send less at once")


async def _read(request: Request, hold: Hold, max_bytes: int) -> bytes:
    stream = _stream(request)
    # The handlers read for themselves: Sanic's own limit is lifted for them, ours holds.
    stream.request_max_size = max_bytes
    parts: list[bytes] = []
    size_bytes = 0
    try:
        while stream.request_body:
            data = await stream.read()
            if data:
                size_bytes += len(data)
                if size_bytes > hold.size_bytes:
                    hold.grow(size_bytes - hold.size_bytes)
                if size_bytes > max_bytes:
                    raise too_large(max_bytes)
                parts.append(data)
    except PayloadTooLarge as error:
        raise too_large(max_bytes) from error
    except SanicException as error:
        raise RefusedError(400, "invalid_body", "the body is cut off or its chunks are malformed") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _abandon(request: Request) -> None:
    """Have the connection closed after the answer, whatever is still to come on it."""
    stream = _stream(request)
    stream.keep_alive = False
    stream.request_body = None
    stream.expecting_continue = False  # or Sanic would ask for the body in the same breath as it refuses it


def _stream(request: Request) -> Any:
    """The HTTP/1.1 side of ``request``; Sanic's annotations of it do not fit what it does."""
    return request.stream

"""One POST over a connection of its own: what the witness sends its events with.

A new connection each time needs no care for idle ones, and lets the operating system give each event to
another process of the API. Nothing is ever sent twice.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from traffic.answer import Answer, answer_of

_MAX_BODY_BYTES = 64 * 1024


async def post(url: str, path: str, body: bytes, timeout_s: float) -> Answer:
    """Send ``body`` as JSON to ``path`` below ``url`` (http) and return the answer; status 0 if none came in time."""
    parts = urlsplit(url)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(head.encode("ascii") + body)
                return await _answer(reader)
            finally:
                writer.close()
    except TimeoutError:
        return Answer(status=0, error=f"no answer within {timeout_s:g} s")
    except (OSError, EOFError, ValueError) as error:
        return Answer(status=0, error=f"no answer: {type(error).__name__}")


async def _answer(reader: asyncio.StreamReader) -> Answer:
    """Read a status line, the headers, and the body that they announce.

    Raises:
        ValueError, EOFError: that is no answer.
    """
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError as error:
        raise ValueError("the head of the answer is too long") from error
    status_line, *lines = head.split("\r\n")
    status = int(status_line.split(" ", 2)[1])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = min(int(headers.get("content-length", "0")), _MAX_BODY_BYTES)
    return answer_of(status, await reader.readexactly(length), batch=False)

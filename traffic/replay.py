"""Replay of a user's own events: a file with one JSON object a line (NDJSON).

The file is checked whole before anything is sent, and read piece by piece then: of its lines only
every 1,024th position is kept in memory. What a line says is kept, its timestamp too; the event gets an
id and ``props.tidemark``, so that it differs from the same line in another run. Of ``count``
processes the one with number ``stream`` sends the lines stream, stream + count, ...; after the last line
the file begins anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn

import msgspec
from msgspec import Meta, Struct

from pipeline.errors import UsageError
from traffic import identity
from traffic.content import timestamp

MAX_LINE_BYTES = 1024 * 1024
_INDEX_LINES = 1024
_EXPECTED = "it has event and user_id, and may have props, timestamp and event_id"


class _Line(Struct, forbid_unknown_fields=True):
    """What the API takes of an event; an integer as ``user_id`` is sent as text."""

    event: Annotated[str, Meta(min_length=1, max_length=200)]
    user_id: Annotated[str, Meta(min_length=1, max_length=256)] | int
    props: dict[str, Any] | None = None
    timestamp: str | None = None
    event_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse a timestamp that nobody could read."""
        if self.timestamp is not None:
            datetime.fromisoformat(self.timestamp)


@dataclass(frozen=True, slots=True)
class ReplayFile:
    """A file that was checked: ``events`` lines, ``offsets`` of every 1,024th of them."""

    path: Path
    events: int
    offsets: array[int]


def check(path: Path) -> ReplayFile:
    """Read the file at ``path`` from end to end; empty lines count for nothing.

    Raises:
        UsageError: the file cannot be read or has no events; or a line is no event: which one and why.
    """
    offsets: array[int] = array("Q")
    events = 0
    decoder = msgspec.json.Decoder(_Line)
    try:
        with path.open("rb") as file:
            for number, offset, line in _lines(file):
                if len(line) > MAX_LINE_BYTES:
                    _refuse(path, number, f"has more than {MAX_LINE_BYTES} bytes: shorten it")
                if not line.strip():
                    continue
                try:
                    decoder.decode(line)
                except msgspec.DecodeError as error:
                    _refuse(path, number, f"is no event: {error}; {_EXPECTED}")
                if events % _INDEX_LINES == 0:
                    offsets.append(offset)
                events += 1
    except OSError as error:
        raise UsageError(
            f"--replay-file {path} cannot be read ({error.strerror}): name a file that is there"
        ) from error
    if not events:
        raise UsageError(f"--replay-file {path} holds no events: it needs one JSON object a line")
    return ReplayFile(path, events, offsets)


class ReplayContent:
    """The events of a file, as one run of ``count`` processes sends them; made like a Content.

    Events of one stream are cheapest in order; any other order works as well.
    """

    def __init__(self, file: ReplayFile, run: int, count: int) -> None:
        """Open the file; it stays open as long as this lives."""
        self._file = file
        self._run = run
        self._count = count
        self._handle = file.path.open("rb")
        self._next = 0

    def encode_many(self, stream: int, first: int, count: int, unix_ms: int) -> list[bytes]:
        """Return ``count`` events from sequence ``first`` on, each as JSON."""
        return [msgspec.json.encode(self.event(stream, first + each, unix_ms)) for each in range(count)]

    def event(self, stream: int, sequence: int, unix_ms: int) -> dict[str, Any]:
        """Return one event as it is sent; ``unix_ms`` is its timestamp only where the file has none."""
        packed = identity.pack(self._run, stream, sequence)
        event: dict[str, Any] = msgspec.json.decode(self._line((sequence * self._count + stream) % self._file.events))
        event["user_id"] = str(event["user_id"])
        event["props"] = {**(event.get("props") or {}), "tidemark": packed}
        if event.get("timestamp") is None:
            event["timestamp"] = timestamp(unix_ms).decode()
        event["event_id"] = identity.event_id(unix_ms, packed)
        return event

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def _line(self, number: int) -> bytes:
        """Event line ``number``, from 0; reads on from the last one where that is the shorter way."""
        if not self._next <= number < self._next + 2 * _INDEX_LINES:
            entry = number // _INDEX_LINES
            self._handle.seek(self._file.offsets[entry])
            self._next = entry * _INDEX_LINES
        while True:
            line = self._handle.readline(MAX_LINE_BYTES + 1)
            if not line:
                raise UsageError(
                    f"{self._file.path} has become shorter since it was checked: leave it while it is replayed"
                )
            if not line.strip():
                continue
            self._next += 1
            if self._next > number:
                return line


def _lines(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Number from 1, offset and bytes of each line; one that is too long is cut just above the bound."""
    offset, number = 0, 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        yield number, offset, line
        offset += len(line)


def _refuse(path: Path, number: int, reason: str) -> NoReturn:
    raise UsageError(f"{path}, line {number}: {reason}")

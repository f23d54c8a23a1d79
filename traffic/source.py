"""From a load specification to what its requests say: the one place that knows all scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import UsageError
from traffic import hostile, replay
from traffic.content import Content, batch_body, timestamp
from traffic.payload import BATCH_PATH, JSON_HEADERS, SINGLE_PATH, Payload, Source
from traffic.spec import LoadSpec

# So much of the load is made at once; what is due meanwhile waits for it.
_STRIP_EVENTS = 1_024
_STRIP_BYTES = 1 << 18


class Events(Protocol):
    """Makes a run's events by their identity: to send them, and to compare what was stored with them."""

    def encode_many(self, stream: int, first: int, count: int, unix_ms: int) -> list[bytes]:
        """Return ``count`` events from sequence ``first`` on, each as JSON."""
        ...  # pragma: no cover - a protocol's body never runs

    def event(self, stream: int, sequence: int, unix_ms: int) -> dict[str, Any]:
        """Return one event as it was sent."""
        ...  # pragma: no cover - a protocol's body never runs


class TableSource:
    """Requests of events from the table, one by one or in batches; the cheapest in the order of their sequences.

    Events are made ahead, a strip of them at a time, but for their moment.
    """

    def __init__(self, content: Content, stream: int) -> None:
        """``stream``: the number of the process that sends them."""
        self._content = content
        self._stream = stream
        mean_bytes = max(1, int(content.table.lengths.mean()))
        self._strip_events = min(_STRIP_EVENTS, max(1, _STRIP_BYTES // mean_bytes))
        self._strip = content.strip(stream, 0, 1)

    def payload(self, first: int, events: int, unix_ms: int, *, batch: bool) -> Payload:
        """Return the request with ``events`` events from sequence ``first`` on, due at ``unix_ms``."""
        stamp = timestamp(unix_ms)
        pieces = []
        at, end = first, first + events
        while at < end:
            strip = self._strip
            if not strip.first <= at < strip.end:
                strip = self._strip = self._content.strip(self._stream, at, self._strip_events)
            upto = min(end, strip.end)
            pieces.append(strip.dated(at, upto, unix_ms, stamp))
            at = upto
        return _payload(pieces, batch=batch)


class ReplaySource:
    """Requests of a file's events."""

    def __init__(self, events: Events, stream: int) -> None:
        """``stream``: the number of the process that sends them."""
        self._events = events
        self._stream = stream

    def payload(self, first: int, events: int, unix_ms: int, *, batch: bool) -> Payload:
        """Return the request with ``events`` events from sequence ``first`` on, due at ``unix_ms``."""
        return _payload(self._events.encode_many(self._stream, first, events, unix_ms), batch=batch)


class HostileSource:
    """Requests that are to be refused; streams begin at different cases."""

    def __init__(self, stream: int) -> None:
        """``stream``: the number of the process that sends them."""
        self._stream = stream
        hostile.prepare()

    def payload(self, first: int, events: int, unix_ms: int, *, batch: bool) -> Payload:  # noqa: ARG002 - a Source
        """Return hostile request number ``first``."""
        return hostile.payload(self._stream + first)


def events_of(spec: LoadSpec, count: int) -> Events:
    """Return the events of a run of ``count`` processes.

    Raises:
        UsageError: the file to replay cannot be used, or is not the one that the spec was made for.
    """
    if spec.scenario != "replay":
        return Content(spec.traffic, spec.seed, spec.run)
    file = replay.check(Path(spec.replay_path))
    if file.events != spec.replay_events:
        raise UsageError(
            f"{file.path} holds {file.events} events and not {spec.replay_events} as when the test was set up: "
            "put the same file on every host, and leave it as it is"
        )
    return replay.ReplayContent(file, spec.run, count)


def source_of(spec: LoadSpec, index: int, count: int) -> Source:
    """Return what process ``index`` of ``count`` sends; raises UsageError as :func:`events_of`."""
    if spec.scenario == "hostile":
        return HostileSource(index)
    events = events_of(spec, count)
    return TableSource(events, index) if isinstance(events, Content) else ReplaySource(events, index)


def _payload(events: Sequence[bytes | memoryview], *, batch: bool) -> Payload:
    if batch:
        return Payload(BATCH_PATH, JSON_HEADERS, batch_body(events), BATCH_PATH)
    return Payload(SINGLE_PATH, JSON_HEADERS, bytes(events[0]), SINGLE_PATH)

"""What goes over the wire for one request, and where it comes from."""

from __future__ import annotations

from typing import NamedTuple, Protocol

SINGLE_PATH = "/track"
BATCH_PATH = "/track/batch"
Headers = tuple[tuple[str, str], ...]
JSON_HEADERS: Headers = (("Content-Type", "application/json"),)


class Payload(NamedTuple):
    """One request's path, headers and body; ``name`` is what Locust's statistics call it."""

    path: str
    headers: Headers
    body: bytes
    name: str


class Source(Protocol):
    """Makes requests' payloads: a pure function of which events they hold."""

    def payload(self, first: int, events: int, unix_ms: int, *, batch: bool) -> Payload:
        """Return the request with ``events`` events from sequence ``first`` on, due at ``unix_ms``."""
        ...  # pragma: no cover - a protocol's body never runs

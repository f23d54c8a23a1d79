"""The generator's measurements in Locust's own statistics."""

from __future__ import annotations

from typing import Any

from locust.env import Environment

_METHOD = "POST"


class Statistics:
    """Response time, from the intended moment, as the request's entry; service time as one beside it.

    The second entry is no request of its own: it stays out of the aggregate.
    """

    def __init__(self, environment: Environment) -> None:
        """Report to the statistics and the request listeners of ``environment``."""
        # Locust declares these for whole milliseconds, or not at all; it takes fractions.
        self._request: Any = environment.events.request
        self._stats: Any = environment.stats

    def answered(
        self, name: str, response_ms: float, service_ms: float, content_bytes: int, failure: str | None
    ) -> None:
        """Log one request that was sent."""
        self._fire(name, response_ms, content_bytes, failure)
        self._stats.get(f"{name} (service time)", _METHOD).log(service_ms, content_bytes)

    def unsent(self, name: str, waited_ms: float) -> None:
        """Log a request that was given up: a failure that took at least as long as it waited."""
        self._fire(name, waited_ms, 0, "unsent: every sender was busy")

    def _fire(self, name: str, response_ms: float, content_bytes: int, failure: str | None) -> None:
        self._request.fire(
            request_type=_METHOD,
            name=name,
            response_time=response_ms,
            response_length=content_bytes,
            exception=failure,
            context={},
        )

"""Which percentiles are printed, and when enough lies beyond one to print it."""

from __future__ import annotations

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
REQUESTS_BEYOND = 10
"""A percentile is printed only with so many independent requests beyond it."""


def largest_share(requests: int) -> float:
    """Return the largest q that still has 10 of ``requests`` independent requests beyond it; 0 if there is none."""
    return max(0.0, 1 - REQUESTS_BEYOND / requests) if requests > 0 else 0.0

"""The result of a test in a few lines, for a person."""

from __future__ import annotations

from loadtest._options import Options
from traffic.counts import Counts

_SHARE = 0.99


def text(options: Options, counts: Counts, error: str) -> str:
    """Return the lines, with ``error`` if the test is not whole."""
    lines = [
        f"Tidemark: {counts.offered:,} events offered in {counts.requests:,} requests ({options.spec.scenario})",
        "  " + ", ".join(f"{name} {_number(events, counts.offered)}" for name, events in _outcomes(counts)),
    ]
    if counts.requests:
        each = counts.offered / counts.requests
        lines.append(f"  {each:,.3g} events a request on average: Locust's req/s counts requests")
    delay_ms = counts.delay_bound_ms(_SHARE)
    if delay_ms is not None:
        lines.append(f"  {_SHARE:.0%} of the requests went out within {delay_ms:,.3g} ms of their intended moment")
    if counts.unsent:
        lines.append("  unsent: every sender was busy for too long; raise --senders, or offer less")
    if sum(events for _, events in _outcomes(counts)) != counts.offered:
        lines.append("  THESE NUMBERS DO NOT ADD UP: please report this, with the ledger")
    if options.ledger_dir:
        lines.append(f"  ledger: {options.ledger_dir}")
    if error:
        lines.append(f"  NOT WHOLE: {error}")
    return "\n".join(["", *lines, ""])


def _outcomes(counts: Counts) -> tuple[tuple[str, int], ...]:
    return (
        ("accepted", counts.accepted),
        ("rejected", counts.rejected),
        ("in doubt", counts.in_doubt),
        ("unsent", counts.unsent),
    )


def _number(events: int, offered: int) -> str:
    return f"{events:,} ({events / offered:.2%})" if events and offered else f"{events:,}"

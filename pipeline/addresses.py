"""Addresses as they stand in a URL, whatever kind they are."""

from __future__ import annotations

# What a server listens on, and the address by which this machine reaches it.
_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound to


def place(host: str, port: int) -> str:
    """Give ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url(host: str, port: int) -> str:
    """Give the URL of a server that listens on ``host``, as a client on this machine reaches it."""
    reached = _ANY.get(host, host)
    # The percent sign before an IPv6 zone is itself written in percent.
    return "http://" + place(reached.replace("%", "%25") if ":" in reached else reached, port)

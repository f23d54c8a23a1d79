"""Addresses in the form that a URL needs, IPv4, IPv6 or name."""

from __future__ import annotations

# What a server listens on, and the address by which this machine reaches it.
_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound to


def place(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url(host: str, port: int) -> str:
    """Return the URL at which a client on this machine reaches a server that listens on ``host``."""
    reached = _ANY.get(host, host)
    # The percent sign before an IPv6 zone is itself written in percent.
    return "http://" + place(reached.replace("%", "%25") if ":" in reached else reached, port)

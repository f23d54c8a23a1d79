"""Addresses in URLs: IPv6 has brackets, and what listens everywhere is reached on the loopback address."""

from __future__ import annotations

import pytest
from msgspec import structs

from pipeline import addresses
from pipeline.commands import up
from pipeline.settings import Api


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104  compared, not bound to
        ("", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:8000"),
    ],
)
def test_every_host_has_its_url(host: str, url: str) -> None:
    assert addresses.url(host, 8000) == url


def test_the_example_of_up_reaches_an_ipv6_api() -> None:
    assert "http://[::1]:8000/track" in up.example(structs.replace(Api(), host="::1"))

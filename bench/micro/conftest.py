"""What the micro-benchmarks share: real servers, and the events that the harness offers."""

from __future__ import annotations

import time

import pytest

from loadtest._content import Content
from loadtest._spec import Traffic

# The fixtures of the tests, so that tests and benchmarks get their servers in one and the same way.
from tests.conftest import parts_are_there, servers, settings  # noqa: F401 - pytest finds fixtures by their names in this module

EVENTS = 1_000
COLUMNS = ["min", "median", "iqr", "ops", "rounds"]  # the table then fits a screen; mean and maximum are the machine's


def pytest_configure(config: pytest.Config) -> None:
    """Show these columns, unless others were asked for."""
    if not any(argument.startswith("--benchmark-columns") for argument in config.invocation_params.args):
        config.option.benchmark_columns = COLUMNS


@pytest.fixture(scope="session")
def content() -> Content:
    return Content(Traffic(), seed=1, run=1)


@pytest.fixture
def messages(content: Content) -> list[bytes]:
    """Events as clients send them and as Kafka has them: the two are the same JSON."""
    return content.encode_many(stream=0, first=0, count=EVENTS, unix_ms=time.time_ns() // 1_000_000)

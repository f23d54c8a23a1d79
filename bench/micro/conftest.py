"""What the micro-benchmarks share: real servers, and the events that the harness offers."""

from __future__ import annotations

import pytest

# The fixtures of the tests, so that tests and benchmarks get their servers in one and the same way.
from tests.conftest import parts_are_there, servers, settings  # noqa: F401 - pytest finds fixtures by their names in this module
from traffic.content import Content
from traffic.spec import Traffic

COLUMNS = ["min", "median", "iqr", "ops", "rounds"]  # the table then fits a screen; mean and maximum are the machine's


def pytest_configure(config: pytest.Config) -> None:
    """Show these columns, unless others were asked for."""
    if not any(argument.startswith("--benchmark-columns") for argument in config.invocation_params.args):
        config.option.benchmark_columns = COLUMNS


@pytest.fixture(scope="session")
def content() -> Content:
    return Content(Traffic(), seed=1, run=1)

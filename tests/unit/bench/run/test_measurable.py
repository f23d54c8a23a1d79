"""What can be measured of a system follows from what it reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.matrix import matrix
from bench.run import measurable
from bench.targets.tidemark import TIDEMARK
from bundle.reported import NOT_REPORTED
from pipeline.errors import UsageError

QUIET = replace(TIDEMARK, name="shop", reports=frozenset({"documents", "backlog"}))


def test_what_rests_on_stamps_is_refused_by_name_of_system_and_cell() -> None:
    cells = matrix.load("smoke").cells
    drain, steady = cells
    with pytest.raises(UsageError, match=f"shop cannot be measured in {drain.id}: .*{NOT_REPORTED}"):
        measurable.expect(cells, QUIET)
    measurable.expect([steady], QUIET)


def test_everything_can_be_measured_of_a_system_that_reports_everything() -> None:
    measurable.expect(matrix.load("quick").cells, TIDEMARK)

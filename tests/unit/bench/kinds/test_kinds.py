"""The kinds of cells are found in their folder, and a toy kind is one more of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.__main__
import reports.kinds
from bench import kinds
from bench.errors import MatrixError
from bench.kinds import naming
from bench.matrix import matrix
from bench.run import execution, plan
from pipeline.errors import UsageError
from tests import toykind

STEADY = '[[cells]]\nkind = "steady"\noffered_load = 100\n'
WITH_PULSES = toykind.MATRIX + STEADY


@pytest.fixture
def pulse() -> Iterator[None]:
    with toykind.added():
        yield


def test_every_kind_has_a_twin_that_shows_it() -> None:
    assert kinds.names() == ("drain", "steady", "capacity")
    assert {each.name for each in reports.kinds.every()} == set(kinds.names())


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"no kind of cell 'pulse': a cell's kind is one of 'drain', 'steady', 'cap"):
        kinds.named("pulse")


def test_an_unknown_kind_in_a_matrix_is_refused_with_its_line() -> None:
    with pytest.raises(MatrixError, match=r"mine:3: kind = 'pulse' is none: a cell's kind is one of 'drain', 'steady'"):
        matrix.parse('name = "x"\n[[cells]]\nkind = "pulse"\n', "mine")


def test_plan_needs_no_library_that_takes_long_to_load() -> None:
    """Kinds know evidence and search by their types alone."""
    code = "import sys, bench.__main__, bench.kinds; bench.kinds.every(); print([*sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "bench.kinds.capacity" in loaded
    assert not [name for name in ("numpy", "pyarrow", "scipy", "pymongo", "aiokafka") if f"'{name}'" in loaded]


@pytest.mark.usefixtures("pulse")
class TestWithAToyKind:
    def test_cells_of_the_toy_kind_have_its_axes_and_sizes(self) -> None:
        one, two = matrix.parse(toykind.MATRIX, "mine").cells
        assert (one.id, two.id) == ("pulse-p1-c1-at400-pulses1", "pulse-p1-c1-at400")
        assert [cell.every_s for cell in (one, two)] == [0.5, 0.5]
        assert naming.axes_of(one)["pulses"] == 1

    def test_cells_of_other_kinds_have_none_of_the_toy_kind_s_axes(self) -> None:
        steady = matrix.parse(WITH_PULSES, "mine").cells[-1]
        assert "pulses" not in naming.axes_of(steady)
        assert steady.id == "steady-p3-c1-at100"

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ("every_s = 1", "every_s belongs to pulse cells, this is a steady cell"),
            ("fixed = { pulses = 1 }", "pulses means nothing in a steady cell, only in pulse"),
        ],
    )
    def test_a_field_of_the_toy_kind_is_refused_in_other_kinds(self, wrong: str, said: str) -> None:
        with pytest.raises(MatrixError, match=said):
            matrix.parse('name = "mine"\n' + STEADY + wrong, "mine")

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ("every_s = 0", r"every_s = 0 is impossible: seconds above 0, up to 60"),
            ("kind = 'pulses'", r"a cell's kind is one of 'drain', 'steady', 'capacity', 'pulse'"),
        ],
    )
    def test_fields_of_the_toy_kind_are_checked_with_their_line(self, changed: str, said: str) -> None:
        name = changed.partition(" ")[0]
        lines = [changed if line.startswith(f"{name} ") else line for line in toykind.MATRIX.splitlines()]
        with pytest.raises(MatrixError, match=rf"mine:{lines.index(changed) + 1}: .*{said}"):
            matrix.parse("\n".join(lines), "mine")

    def test_plan_shows_a_cell_of_the_toy_kind(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "pulses.toml"
        file.write_text(toykind.MATRIX)
        assert bench.__main__.main(["plan", str(file)]) == 0
        shown = capsys.readouterr().out
        assert "pulse cell" in shown
        assert "1 + 4 s, 2 pulses" in shown

    def test_time_and_offer_of_the_toy_kind_follow_from_its_cell(self) -> None:
        cell = matrix.parse(toykind.MATRIX, "mine").cells[0]
        assert plan.estimate_s(cell) == 10.0
        assert execution.offer(plan.PlannedRepeat(cell, 1), []).load_events_per_s == 400

"""The order of the repeats, and how long they will take."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import OfferedLoad
from bench.kinds.drain import DrainCell
from bench.matrix import matrix
from bench.run import plan
from bench.run.plan import PlannedRepeat

GRID_FILE = Path(__file__).parents[2] / "data" / "grid.toml"
GRID = matrix.load(GRID_FILE)


def test_every_round_has_every_cell_once() -> None:
    order = plan.order(GRID)
    assert [planned.round for planned in order] == [1] * 10 + [2] * 10 + [3] * 10
    for number in (1, 2, 3):
        cells = [planned.cell.id for planned in order if planned.round == number]
        assert sorted(cells) == sorted(cell.id for cell in GRID.cells)


def test_the_order_is_the_seed_s_and_each_round_has_its_own() -> None:
    order = plan.order(GRID)
    assert plan.order(matrix.load(GRID_FILE)) == order
    assert plan.order(structs.replace(GRID, seed=2)) != order
    second, third = (tuple(planned.cell.id for planned in order if planned.round == number) for number in (2, 3))
    assert second != third
    assert second != tuple(cell.id for cell in GRID.cells)


def test_the_order_of_a_seed_never_changes() -> None:
    """A run that is resumed by a later version goes on in the same order."""
    first = [planned.cell.id for planned in plan.order(GRID)[:3]]
    assert first == ["drain-p3-c4", "drain-p1-c1", "drain-p1-c4"]


@pytest.mark.parametrize("seed", range(20))
def test_in_round_1_drains_come_before_the_cells_that_need_them(seed: int) -> None:
    order = plan.order(structs.replace(GRID, seed=seed))
    places = {planned.cell.id: place for place, planned in enumerate(order) if planned.round == 1}
    drains = [places[cell.id] for cell in GRID.cells if cell.kind == "drain"]
    sharing = [places[cell.id] for cell in GRID.cells if isinstance(cell.offered_load, OfferedLoad)]
    assert max(drains) < min(sharing)


def test_later_rounds_mix_drains_and_steady_cells() -> None:
    kinds = [planned.cell.kind for planned in plan.order(GRID) if planned.round == 2]
    assert kinds != sorted(kinds)


def test_quick_fits_into_seven_minutes_and_smoke_into_forty_seconds() -> None:
    assert plan.whole_s(matrix.load("quick")) < 7 * 60
    assert plan.SERVERS_START_AND_STOP_S + plan.expected_s(plan.order(matrix.load("smoke"))) < 40


def test_larger_cells_are_expected_to_take_longer() -> None:
    drain = DrainCell(id="d", events=100_000)
    assert plan.estimate_s(structs.replace(drain, events=200_000)) > plan.estimate_s(drain)
    steady = CellSpec(id="s", kind="steady", warmup_s=3, duration_s=8)
    assert plan.estimate_s(structs.replace(steady, duration_s=30)) == plan.estimate_s(steady) + 22


def test_what_was_measured_takes_the_place_of_the_estimate() -> None:
    a, b = DrainCell(id="a", events=100_000), DrainCell(id="b", events=100_000)
    steady = CellSpec(id="s", kind="steady")
    assert plan.expected_s([PlannedRepeat(a, 2)], [(a, 30.0), (b, 100.0), (a, 40.0)]) == pytest.approx(35.0)
    # b was never measured: it is off by as much as the other drain was; a steady cell is not
    twice_as_long = [(a, 2 * plan.estimate_s(a))]
    assert plan.expected_s([PlannedRepeat(b, 1)], twice_as_long) == pytest.approx(2 * plan.estimate_s(b))
    assert plan.expected_s([PlannedRepeat(steady, 1)], twice_as_long) == pytest.approx(plan.estimate_s(steady))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (-3, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (492, "8 min 12 s"), (7530, "2 h 05 min")],
)
def test_durations_are_written_for_a_person(seconds: float, words: str) -> None:
    assert plan.duration(seconds) == words


def described(wanted: matrix.Matrix) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(plan.describe(wanted))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_plan_shows_cells_order_and_time() -> None:
    text = described(GRID)
    assert "10 cells x 3 rounds = 30 repeats, about 5 min" in text
    for cell in GRID.cells:
        assert text.count(f"{cell.id} ") == 4  # its row, and once a round
    assert "cells that offer a share of what a drain reached come after the drains in round 1" in text
    assert "120,000 events" in text
    assert "offered_load 50% of the slowest drain" in " ".join(text.split())


def test_the_plan_shows_changed_bounds_and_what_is_special_about_a_cell() -> None:
    assert "not the default" not in described(GRID)
    assert "drain_timeout_s = 90" in described(structs.replace(GRID, bounds=Bounds(drain_timeout_s=90.0)))
    assert "driver pymongo" in described(matrix.load("axes"))


def test_searches_for_capacity_come_once_after_the_drains_and_all_else_of_round_1() -> None:
    full = matrix.load("full")
    order = plan.order(full)
    searches = [place for place, planned in enumerate(order) if planned.cell.kind == "capacity"]
    first_round = [place for place, planned in enumerate(order) if planned.round == 1]
    assert searches == first_round[-3:]
    assert "24 cells x 5 rounds = 120 repeats and 3 searches for capacity" in described(full)
    assert plan.whole_s(full) <= 75 * 60


def test_the_plan_counts_the_remaining_probes_of_a_search_and_always_one_more() -> None:
    search = [each for each in plan.order(matrix.load("full")) if each.cell.kind == "capacity"][:1]
    (cell,) = (each.cell for each in search)
    lefts = [plan.expected_s(search, probed={cell.id: number}) for number in (0, 1, 5, 100)]
    one = lefts[0] - lefts[1]
    assert one > cell.warmup_s + cell.duration_s
    assert lefts[2] == pytest.approx(lefts[0] - 5 * one)
    assert lefts[3] == pytest.approx(one)


def test_all_searches_together_take_no_longer_than_they_may() -> None:
    searches = [each for each in plan.order(matrix.load("full")) if each.cell.kind == "capacity"]
    assert plan.expected_s(searches, search_s=100.0) == 100.0
    assert plan.expected_s(searches, search_s=1e6) == plan.expected_s(searches)
    assert plan.expected_s(searches, search_s=-5.0) == 0.0


@pytest.mark.parametrize("name", matrix.shipped())
def test_at_80_columns_the_plan_shows_each_cell_whole_and_what_is_special_about_it(name: str) -> None:
    wanted = matrix.load(name)
    console = Console(file=io.StringIO(), width=80)
    console.print(plan.describe(wanted))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for cell in wanted.cells:
        (row,) = (line for line in text.splitlines() if line.startswith(f"{cell.id} "))
        alike = [each for each in wanted.cells if each.kind == cell.kind]
        if len({each.consumers for each in alike}) > 1:
            assert f"consumers {cell.consumers}" in row


def test_a_matrix_of_searches_alone_has_each_of_them_once() -> None:
    text = 'name = "mine"\nrounds = 3\n[[cells]]\nkind = "capacity"\nstart_load = 1000\naxes = { consumers = [1, 2] }\n'
    repeats = plan.order(matrix.parse(text, "mine.toml"))
    assert sorted((each.cell.consumers, each.round) for each in repeats) == [(1, 1), (2, 1)]

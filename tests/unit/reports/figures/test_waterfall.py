"""Waterfalls of the four stages: bars that start where the one before ends, and a sum that is the delivery latency."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle import reading
from reports.cells import cells
from reports.drawing.panel import Panel
from reports.figures import waterfall
from reports.sections import durations
from tests.unit.reports.made_bundle import Cell, Plan, write


def steady(number: int) -> list[Cell]:
    return [Cell(f"steady-c{c}", "steady", {"consumers": c}) for c in range(1, number + 1)]


def views(folder: Path, number: int) -> list[cells.Cell]:
    return list(cells.summarise(reading.load(write(folder, Plan(steady(number), rounds=1, requests=300)))))


def of_cell(drawn: Panel, cell: str) -> list[tuple[str, float, float]]:
    rows = drawn.data[drawn.data["cell"] == cell]
    return list(zip(rows["stage"], rows["starts_ms"], rows["ends_ms"], strict=True))


@pytest.mark.parametrize("place", [0, 1], ids=["mean", "p99"])
def test_each_bar_starts_where_the_one_before_ends_and_the_last_is_their_sum(tmp_path: Path, place: int) -> None:
    (cell, _) = found = views(tmp_path, 2)
    steps = of_cell(waterfall.panels(found)[place], cell.plan.id)
    assert [name for name, _, _ in steps] == [*cells.STAGES, "delivery_latency"]
    *stages, (_, start, end) = steps
    assert [start for _, start, _ in stages] == [0.0, *(end for _, _, end in stages[:-1])]
    assert (start, end) == (0.0, stages[-1][2])
    cohort = {cohort.name: cohort for cohort in cell.cohorts}["p99"]
    assert end == pytest.approx([sum(cell.stages_ms.values()), cohort.delivery_latency_ms][place])


def test_many_cells_are_drawn_in_groups_and_stand_behind_an_overview(tmp_path: Path) -> None:
    found = views(tmp_path, waterfall.MOST_CELLS + 1)
    names = [drawn.name for drawn in waterfall.panels(found)]
    assert names == [
        "waterfall-mean-steady",
        "waterfall-p99-steady",
        "waterfall-mean-steady-2",
        "waterfall-p99-steady-2",
    ]
    _, overview, behind = durations.stages(found).parts
    assert [drawn.name for drawn in overview.figures] == ["stages-mean-steady", "stages-p99-steady"]
    assert [drawn.name for drawn in behind.figures] == names
    assert behind.summary == "Waterfalls of all 7 cells: each bar starts where the one before ends"
    _, only = durations.stages(found[:1]).parts
    assert [drawn.name for drawn in only.figures] == names[:2]

"""Why it is not faster, how it scales, what to run: what the page shows of the verdicts, fits and advice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec import structs

from bundle import reading
from reports.answer import verdict
from reports.cells import cells
from reports.cells.bottleneck import Bottleneck
from reports.cells.cells import Cell as View
from reports.cells.saturation import LimitUse
from reports.figures import evidence
from reports.figures import scaling as figures
from reports.page import page
from reports.scaling import scaling as fits
from reports.sections import limits, scaling
from reports.tables import Table, headroom
from tests.unit.reports.made_bundle import Cell, Plan, quick_cells, scaling_cells, searched_cells, write

FULL_JOURNAL = (LimitUse("journal", "mongodb", "journal syncs", 0.95, 1.0, "share", 0.85, 4, 4),)


def views(folder: Path, plan: Plan) -> tuple[reading.Bundle, list[View]]:
    read = reading.load(write(folder, plan))
    return read, list(cells.summarise(read))


def by_kind(of: list[View]) -> dict[str, list[View]]:
    return {kind: [cell for cell in of if cell.plan.kind == kind] for kind in dict.fromkeys(c.plan.kind for c in of)}


def column(of: Table, head: str) -> list[str]:
    return [row[of.heads.index(head)] for row in of.rows]


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> list[View]:
    return views(tmp_path_factory.mktemp("scaled"), Plan(scaling_cells(), rounds=4, requests=40, cores=16))[1]


class TestWhatBoundsACell:
    def test_each_of_a_few_cells_shows_verdict_evidence_headroom_and_what_to_change(self, tmp_path: Path) -> None:
        few = [cell for cell in quick_cells() if cell.kind == "drain"]
        read, found = views(tmp_path, Plan(few))
        first, *_ = limits.section(read, by_kind(found)).parts
        assert first.table is not None
        assert first.summary == ""
        assert column(first.table, "cell") == [cell.label_with_kind for cell in found]
        expected = [
            (cell.bottleneck.name or "not determined", cell.bottleneck.because) for cell in found if cell.bottleneck
        ]
        rows = zip(column(first.table, "bound by"), column(first.table, "evidence"), strict=True)
        assert list(rows) == expected

    def test_many_cells_bound_alike_share_a_row_and_each_stands_behind_a_summary(self, tmp_path: Path) -> None:
        read, found = views(tmp_path, Plan(quick_cells(), requests=300))
        together, each, *_ = limits.section(read, by_kind(found)).parts
        assert together.table is not None
        assert each.table is not None
        assert each.summary == "What bounds each of the 10 cells"
        assert len(each.table.rows) == 10
        offered = column(together.table, "bound by").index("the offered load")
        steady = "; ".join(cell.label for cell in found if cell.plan.kind == "steady")
        assert column(together.table, "cells")[offered] == f"steady {steady}"
        assert sum(row.count(";") + 1 for row in column(together.table, "cells")) == 10

    def test_the_role_that_bounds_it_is_not_named_as_having_headroom(self, scaled: list[View]) -> None:
        bound = scaled[0].bottleneck
        assert bound is not None
        free = {one.role: one.unused for one in bound.headroom if one.role != "machine"}
        tightest, second, *_ = sorted(free, key=lambda role: free[role])
        assert headroom.least(bound).startswith(("MongoDB", "worker", "Kafka"))
        without = headroom.least(Bottleneck(resource="x", role=tightest, headroom=bound.headroom))
        assert without != headroom.least(bound)
        assert f"{free[second]:.0%}" in without

    def test_a_limit_that_some_repeats_reached_says_in_how_many(self, scaled: list[View]) -> None:
        bound = scaled[0].bottleneck
        assert bound is not None
        (first, *others) = bound.evidence
        some = structs.replace(bound, evidence=(structs.replace(first, reached_in=2), *others))
        half = dataclasses.replace(scaled[0], bottleneck=some)
        (row,) = headroom.evidence([half]).rows
        assert f"(reached in 2 of {first.repeats})" in row[1]

    def test_the_limit_that_was_reached_is_drawn_second_by_second_with_its_threshold(self, tmp_path: Path) -> None:
        read, found = views(tmp_path, Plan([cell for cell in quick_cells() if cell.kind == "drain"]))
        drawn = evidence.panels(found)
        by_cpu = {c.plan.id for c in found if c.bottleneck and c.bottleneck.resource == "machine_cpu"}
        assert by_cpu
        assert set(drawn) == by_cpu
        of_one = drawn[min(by_cpu)]
        assert set(of_one.data["round"]) == {1, 2, 3}
        cell = next(c for c in found if c.plan.id == min(by_cpu))
        used = of_one.data[of_one.data["second"] == 5]["value"]
        assert used.mean() == pytest.approx(sum(cell.cores.values()), rel=0.05)
        made = page.make(read, found, verdict.decide(read, found))
        assert {panel.name for panel in made.figures} >= {panel.name for panel in drawn.values()}

    def test_a_verdict_whose_seconds_were_not_recorded_is_not_drawn(self, scaled: list[View]) -> None:
        journal = Bottleneck(resource="journal", role="mongodb", name="x", determined=True, evidence=FULL_JOURNAL)
        assert evidence.panels([dataclasses.replace(scaled[0], bottleneck=journal)]) == {}


class TestScaling:
    def test_a_fit_is_shown_with_its_parameters_and_drawn_with_its_levels(self, scaled: list[View]) -> None:
        _, parameters, drawn = scaling.section(scaled).parts
        assert parameters.table is not None
        assert [name.partition(": ")[2] or name for name in column(parameters.table, "parameter")] == [
            "one consumer alone, events/s",
            "contention",
            "coherency",
            "consumers at the peak",
            "lack of fit, p",
        ]
        (panel,) = drawn.figures
        measured = panel.data[panel.data["what"] == "measured"]
        fitted = panel.data[panel.data["what"] == "fitted"]
        assert measured["consumers"].tolist() == [1, 2, 3, 4, 6, 8]
        assert fitted["consumers"].max() == 16
        assert (fitted["low_events_per_s"] <= fitted["events_per_s"]).all()

    def test_without_a_fit_the_reason_is_stated_once_for_all_that_share_it(self, tmp_path: Path) -> None:
        grid = [
            Cell(f"drain-p{p}-c{c}", "drain", {"partitions": p, "consumers": c}, rate=9_000.0 * c)
            for p in (4, 8)
            for c in (1, 2)
        ]
        _, found = views(tmp_path, Plan(grid, cores=16))
        _, reasons = scaling.section(found).parts
        assert reasons.table is not None
        assert reasons.table.rows == (
            (
                "drain",
                "4 partitions per topic; 8 partitions per topic",
                "1, 2",
                "cannot fit: too few levels, 2 numbers of consumers of at least 5",
            ),
        )

    def test_levels_that_no_curve_goes_through_are_drawn_hollow_without_one(self, scaled: list[View]) -> None:
        busy = Bottleneck(resource="machine_cpu", role="mongodb", name="the machine's CPU", determined=True)
        bound = [dataclasses.replace(c, bottleneck=busy) if c.plan.axes["consumers"] >= 4 else c for c in scaled]
        (drawn,) = figures.panels(fits.group(bound))
        assert set(drawn.data["what"]) == {"measured"}
        assert drawn.drawing.inline.count('fill="#fefefe"') >= 3
        assert "the machine's CPU is saturated at N = 4" in {row[-1] for row in drawn.table.rows}

    def test_no_two_numbers_of_consumers_is_said(self, tmp_path: Path) -> None:
        _, found = views(tmp_path, Plan([Cell("drain", "drain", {})], rounds=1))
        (part,) = scaling.section(found).parts
        assert part.words[0].startswith("No two cells of this run differ in their consumers alone")


class TestAdvice:
    def test_loads_about_the_highest_that_was_held_have_their_configuration_and_its_proof(self, tmp_path: Path) -> None:
        read, found = views(tmp_path, Plan([*quick_cells(), *searched_cells()], requests=1_200))
        parts = scaling.advised(read, found).parts
        answers = parts[0].table
        assert answers is not None
        loads = column(answers, "load, events/s")
        assert loads == ["5,000", "10,000", "20,000", "50,000"]
        by_load = dict(zip(loads, column(answers, "smallest configuration"), strict=True))
        assert by_load["20,000"] == "2 consumers, 4 partitions per topic, 1 API process"
        assert by_load["50,000"] == "none was shown to hold it"
        assert column(answers, "shown by")[2].startswith("capacity-p4-c2 at 22,300 events/s: ")
        assert parts[1].summary == "What to measure next"

    def test_drains_alone_advise_nothing(self, tmp_path: Path) -> None:
        read, found = views(tmp_path, Plan([Cell("drain", "drain", {})], rounds=1))
        (part,) = scaling.advised(read, found).parts
        assert "nothing can be advised" in part.words[0]

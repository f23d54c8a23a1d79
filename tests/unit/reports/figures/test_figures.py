"""Figures: colours that follow the scheme, ids of their own, idle consumers, further axes, gates."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from msgspec import structs

from bundle import reading
from bundle.interval import Interval
from bundle.result import Window
from reports import formats
from reports.cells import cells
from reports.drawing import palette, panel, svg
from reports.drawing.panel import Panel
from reports.figures import backlog, bars, percentiles, throughput
from stats.percentiles import REQUESTS_BEYOND
from tests.unit.reports.made_bundle import Cell, Plan, quick_cells, write

DASH = "\u2013"  # between the bounds of an interval


def views(folder: Path, plan: Plan) -> list[cells.Cell]:
    return list(cells.summarise(reading.load(write(folder, plan))))


def grid(kind: str = "drain", **more: object) -> list[Cell]:
    name = "-".join(str(value) for value in more.values())
    return [
        Cell(f"{kind}-{name}-p{p}-c{c}", kind, {"partitions": p, "consumers": c, **more})
        for p in (1, 3)
        for c in (1, 4)
    ]


def elements(drawn: Panel) -> list[ET.Element]:
    return list(ET.fromstring(drawn.drawing.inline).iter())  # noqa: S314 - our own output


def words(drawn: Panel) -> list[str]:
    return [element.text or "" for element in elements(drawn) if element.tag == "text"]


def test_every_colour_is_a_class_over_its_light_form(tmp_path: Path) -> None:
    (heat, curves) = throughput.panels(views(tmp_path, Plan(grid(), rounds=2)), "drain")
    for drawn in (heat, curves):
        for element in elements(drawn):
            for key in ("fill", "stroke"):
                colour = element.get(key, "none")
                if colour != "none":
                    (name,) = [each.name for each in palette.ALL if each.light == colour]
                    assert f"{key[0]}-{name}" in element.get("class", "")
        assert "prefers-color-scheme:dark" in drawn.drawing.file


def test_a_colour_from_elsewhere_is_refused() -> None:
    with panel.canvas() as drawn:
        drawn.axes.plot([0, 1], [0, 1], color="#123456")
        with pytest.raises(ValueError, match="#123456 is not in the palette"):
            svg.template(drawn.figure)


def test_no_two_colours_share_a_light_form() -> None:
    assert len({colour.light for colour in palette.ALL}) == len(palette.ALL)


def test_ids_carry_the_name_of_the_figure_and_references_follow(tmp_path: Path) -> None:
    for drawn in throughput.panels(views(tmp_path, Plan(grid(), rounds=2)), "drain"):
        ids = re.findall(r'\bid="([^"]+)"', drawn.drawing.inline)
        assert all(each.startswith(f"{drawn.name}-") for each in ids)
        references = re.findall(r'(?:href="#|url\(#)([^")]+)', drawn.drawing.inline)
        assert set(references) <= set(ids)


def test_a_figure_draws_the_same_twice(tmp_path: Path) -> None:
    found = views(tmp_path, Plan(grid(), rounds=2))
    assert throughput.panels(found, "drain")[1].drawing == throughput.panels(found, "drain")[1].drawing


def test_the_heat_map_writes_mean_interval_and_idle_consumers(tmp_path: Path) -> None:
    found = views(tmp_path, Plan(grid()))
    said = words(throughput.panels(found, "drain")[0])
    assert "1 idle" in said  # 4 consumers on 3 topics of 1 partition
    assert said.count("1 idle") == 1
    assert sum(DASH in text for text in said) == len(found)


def test_a_cell_without_a_valid_repeat_is_blank_in_the_heat_map(tmp_path: Path) -> None:
    heat, curves = throughput.panels(views(tmp_path, Plan(grid(), rounds=1, void={("drain--p1-c1", 1): 3})), "drain")
    assert "no valid repeat" in words(heat)
    assert set(curves.data["cell"]) == {"drain--p1-c4", "drain--p3-c1", "drain--p3-c4"}


def test_each_repeat_is_in_the_data_of_the_curves(tmp_path: Path) -> None:
    curves = throughput.panels(views(tmp_path, Plan(grid(), rounds=3)), "drain")[1]
    assert len(curves.data) == 12
    assert set(curves.data["round"]) == {1, 2, 3}


def test_a_third_axis_gives_a_heat_map_for_each_of_its_values(tmp_path: Path) -> None:
    plan = Plan([*grid(driver="motor"), *grid(driver="pymongo")], rounds=2)
    drawn = throughput.panels(views(tmp_path, plan), "drain")
    assert [each.title for each in drawn] == [
        "Heat map: motor",
        "Scaling: motor",
        "Heat map: pymongo",
        "Scaling: pymongo",
    ]
    assert len({each.name for each in drawn}) == 4


def test_an_axis_alone_is_drawn_across(tmp_path: Path) -> None:
    plan = Plan([Cell(f"drain-b{b}", "drain", {"batch_max_events": b}) for b in (500, 2000, 5000)], rounds=2)
    heat, curves = throughput.panels(views(tmp_path, plan), "drain")
    for drawn in (heat, curves):
        assert {"500", "2,000", "5,000", "batch size, events"} <= set(words(drawn))


def test_curves_end_where_fewer_than_ten_requests_lie_beyond(tmp_path: Path) -> None:
    found = views(tmp_path, Plan(grid("steady"), rounds=2, requests=150))
    (drawn,) = percentiles.panels(found, "delivery_latency")
    assert drawn.data["q"].max() == pytest.approx(1 - REQUESTS_BEYOND / 300)
    assert "99%" not in words(drawn)
    assert all(formats.NOTHING in row for row in drawn.table.rows)


def test_more_cells_than_colours_are_drawn_by_partitions(tmp_path: Path) -> None:
    many = [
        Cell(f"steady-p{p}-c{c}", "steady", {"partitions": p, "consumers": c}) for p in (1, 3) for c in (1, 2, 4, 8)
    ]
    drawn = percentiles.panels(views(tmp_path, Plan(many, rounds=1, requests=200)), "response_time")
    assert [set(each.data["cell"].str[:9]) for each in drawn] == [{"steady-p1"}, {"steady-p3"}]


def test_stages_and_cpu_are_stacked_with_their_sums(tmp_path: Path) -> None:
    found = [cell for cell in views(tmp_path, Plan(grid("steady"), rounds=1, requests=500)) if cell.stages_ms]
    mean, p99 = bars.stages(found)
    assert list(mean.data.columns[1:]) == [f"{stage}_ms" for stage in cells.STAGES]
    first = found[0]
    assert mean.data.iloc[0, 1:].sum() == pytest.approx(sum(first.stages_ms.values()))
    assert (mean.name, p99.name) == ("stages-mean-steady", "stages-p99-steady")
    (cpu,) = bars.cpu(found, "steady", 2)
    assert "mongodb_cores" in cpu.data


@pytest.mark.parametrize(("names", "columns"), [(1, 1), (3, 3), (4, 2), (5, 3), (6, 3), (7, 4)])
def test_the_rows_of_a_legend_are_even(names: int, columns: int) -> None:
    assert bars._columns(names) == columns


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("step", range(palette.HEAT_STEPS))
def test_text_is_readable_on_every_step_of_the_heat_map(step: int, scheme: str) -> None:
    ink = palette.HEAT_TEXT_HIGH if step >= palette.HEAT_TEXT_FROM_STEP else palette.HEAT_TEXT_LOW
    low, high = sorted(luminance(getattr(colour, scheme)) for colour in (ink, palette.HEAT[step]))
    assert (high + 0.05) / (low + 0.05) > 4.2


def test_an_interval_beyond_the_axes_is_noted(tmp_path: Path) -> None:
    found = views(tmp_path, Plan([Cell("drain", "drain", {})], rounds=3))
    assert not throughput.cuts_an_interval(found)
    wide = replace(found[0], throughput=Interval(3, 30_000.0, 1_000.0, 900_000.0))
    assert throughput.cuts_an_interval([wide])


def test_backlog_has_a_panel_for_each_cell_and_a_line_for_each_valid_repeat(tmp_path: Path) -> None:
    plan = Plan(grid(), rounds=2, void={("drain--p1-c1", 1): 3})
    drawn = backlog.panels(views(tmp_path, plan))
    assert len(drawn) == 4
    assert set(drawn[0].data["round"]) == {2}
    assert set(drawn[1].data["round"]) == {1, 2}


def test_the_axes_of_backlog_panels_are_drawn_once_for_all_cells_of_a_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_by_matplotlib = []
    template = svg.template
    monkeypatch.setattr(svg, "template", lambda figure: drawn_by_matplotlib.append(figure) or template(figure))
    drawn = backlog.panels(views(tmp_path, Plan(grid(), rounds=2)))
    assert (len(drawn), len(drawn_by_matplotlib)) == (4, 1)
    assert len({each.drawing.inline for each in drawn}) == 4


def test_marks_stand_where_the_axes_have_their_points() -> None:
    with panel.canvas() as drawn:
        drawn.axes.set_xlim(0, 10)
        drawn.axes.set_ylim(0, 10)
        drawn.axes.plot([0, 10], [0, 10], color=palette.SERIES[0].light)
        frame = panel.Frame(svg.template(drawn.figure), drawn.axes)
    line = svg.Line(frame.to_pixels(np.array([[0.0, 0.0], [10.0, 10.0]])), palette.SERIES[1], 1.0)
    paths = re.findall(
        r'd="([^"]+)"[^>]*class="s-(s1|s2)"|class="s-(s1|s2)"[^>]*d="([^"]+)"',
        frame.template.fill("x", "x", [line]).inline,
    )
    found = {(a or d): (b or c) for a, b, c, d in paths}
    ends = {colour: [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path)] for path, colour in found.items()}
    assert ends["s1"] == pytest.approx(ends["s2"], abs=0.02)


def test_a_window_shorter_than_a_second_is_drawn_all_the_same(tmp_path: Path) -> None:
    found = views(tmp_path, Plan([Cell("drain", "drain", {})], rounds=1))
    (repeat,) = found[0].valid
    window = Window(5.2, 5.6)
    short = replace(repeat, result=structs.replace(repeat.result, window=window))
    line = backlog._window(short, np.array([5.0, 6.0]), np.array([100.0, 0.0]))
    np.testing.assert_allclose(line, [[5.2, 80.0], [5.6, 40.0]])


def test_nothing_to_draw_draws_nothing(tmp_path: Path) -> None:
    found = views(tmp_path, Plan(quick_cells(), rounds=0))
    assert percentiles.panels(found, "delivery_latency") == []
    assert bars.stages(found) == []
    assert bars.cpu(found, "drain", 2) == []
    assert backlog.panels(found) == []


@pytest.mark.parametrize("places", [[0.5], [0.5, 0.5, 0.5], [0.1, 0.9], [0.9, 0.88, 0.1]])
def test_labels_are_moved_apart_and_keep_their_order(places: list[float]) -> None:
    moved = panel.spread(places, 0.05)
    order = sorted(range(len(places)), key=lambda index: places[index])
    gaps = [moved[b] - moved[a] for a, b in pairwise(order)]
    assert all(gap >= 0.05 - 1e-9 for gap in gaps)
    assert sum(moved) == pytest.approx(sum(places))

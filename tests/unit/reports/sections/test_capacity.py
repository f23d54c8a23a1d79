"""Sustainable throughput in the report: first in the finding, with its interval, every probe behind it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bundle import reading
from bundle.capacity import CapacityAnswer
from reports import formats
from reports.answer import searches, verdict
from reports.cells import axes, cells
from reports.cells.cells import Cell as View
from reports.figures import answers, capacity
from reports.page import summary
from reports.tables import Table
from reports.tables import capacity as tables
from tests.unit.reports.made_bundle import Cell, Plan, searched_cells, write

DRAIN = Cell("drain-c1", "drain", {"consumers": 1})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("runs"), Plan([DRAIN, *searched_cells()], rounds=1, requests=1_200))


@pytest.fixture(scope="module")
def views(run: Path) -> dict[str, View]:
    return {cell.plan.id: cell for cell in cells.summarise(reading.load(run))}


def searched(views: dict[str, View]) -> list[View]:
    return [cell for cell in views.values() if cell.plan.kind == "capacity"]


def label(partitions: int, consumers: int) -> str:
    return axes.Naming(()).label({"partitions": partitions, "consumers": consumers})


def breakable(text: str) -> str:
    return text.replace("\u00a0", " ")


def column(of: Table, head: str) -> list[str]:
    return [row[of.heads.index(head)] for row in of.rows]


def found(**fields: Any) -> CapacityAnswer:
    usual: dict[str, Any] = {"schema_version": 2, "cell": "c", "objective": "", "sustainable_events_per_s": 100.0}
    usual |= {"low_events_per_s": 90.0, "high_events_per_s": 110.0, "confidence": 0.95, "confirmed": True, "ended": ""}
    return CapacityAnswer(**(usual | fields))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(90.0, 110.0, "90.0 to 110"), (None, 110.0, "below 110"), (90.0, None, "above 90.0"), (None, None, "not bounded")],
)
def test_an_interval_without_a_bound_says_so(low: float | None, high: float | None, said: str) -> None:
    assert searches.interval(found(low_events_per_s=low, high_events_per_s=high)) == said


@pytest.mark.parametrize(
    ("objective", "p99_ms", "said"),
    [
        ("p99 delivery latency <= 1000 ms, at most 0.0% rejected", 1000.0, "p99 delivery latency ≤ 1 s"),
        (
            "p99 delivery latency <= 250 ms, at most 1.0% rejected",
            250.0,
            "p99 delivery latency ≤ 250 ms, at most 1.0% rejected",
        ),
        ("p99 response time <= 100 ms, at most 0.0% rejected", None, "p99 response time ≤ 100 ms"),
    ],
)
def test_an_objective_is_read_and_said_as_people_do(objective: str, p99_ms: float | None, said: str) -> None:
    search = found(objective=objective)
    assert (searches.objective_p99_ms(search), breakable(searches.objective(search))) == (p99_ms, said)


def test_the_sentence_begins_with_what_was_found_sustained(run: Path) -> None:
    read = reading.load(run)
    all_views = cells.summarise(read)
    judged = verdict.decide(read, all_views)
    assert judged.sentence.startswith(
        "4 partitions × 2 consumers held 23,100 events/s (limit 22,300–24,700) at p99 ≤ 1 s; "
    )
    assert [row.breaks.startswith("not confirmed; ") for row in judged.rows] == [True, False, False, False]


def test_searches_that_found_nothing_say_so_first_and_are_a_finding(tmp_path: Path) -> None:
    (*_, nothing) = searched_cells()
    read = reading.load(write(tmp_path, Plan([nothing], rounds=1, requests=400)))
    judged = verdict.decide(read, cells.summarise(read))
    assert judged.sentence.startswith("No load was held at p99 ≤ 1 s, not even ")
    assert (judged.level, [each.repeat for each in judged.findings]) == ("failed", [nothing.id])


def test_the_table_of_searches_has_confirmation_and_end(views: dict[str, View]) -> None:
    table = tables.searched(searched(views))
    assert column(table, "confirmed") == ["no", "yes", formats.NOTHING]
    assert column(table, "how the search ended")[0] == "the cap of 14 probes was reached"


def test_every_probe_is_in_the_history_with_its_verdict_and_void_ones_marked(views: dict[str, View]) -> None:
    history = tables.probes(views["capacity-p4-c2"])
    verdicts = column(history, "verdict")
    assert len(verdicts) == 12
    assert [verdicts.count(name) for name in searches.VERDICTS] == [7, 3, 1, 1]
    assert {verdicts[index] for index in history.marked} == {"void"}
    why, length = column(history, "why"), column(history, "length")
    assert "schedule delay" in why[verdicts.index("void")]
    assert "extended by 10.0 s" in length[verdicts.index("undetermined")]
    assert "stopped early" in length[column(history, "offered load, events/s").index("40,500")]


def test_the_curve_has_all_probes_and_goes_through_none_that_is_void(views: dict[str, View]) -> None:
    (_, drawn, _) = capacity.curves(searched(views))
    assert len(drawn.data) == 12
    assert set(drawn.data["verdict"]) == set(searches.VERDICTS)
    probes = [each for each in views["capacity-p4-c2"].attempts if each.result.valid]
    loads = capacity.middle_line(views["capacity-p4-c2"].attempts, "p99")
    assert list(loads) == sorted({each.result.offered_load_events_per_s for each in probes})
    at_answer = [e.result.delivery_latency_ms.p99 for e in probes if e.result.offered_load_events_per_s == 23_100]
    assert loads[23_100.0] == pytest.approx(np.median(at_answer))


def test_the_interval_the_knee_and_the_objective_are_drawn(views: dict[str, View]) -> None:
    (unsure, sound, _) = capacity.curves(searched(views))
    for word in ("knee", "objective", "23,100", "p50", "p99", "undetermined"):
        assert f">{word}</text>" in sound.drawing.inline
    assert ">knee</text>" not in unsure.drawing.inline


def test_answers_are_drawn_together_where_there_are_two(views: dict[str, View]) -> None:
    (drawn,) = answers.panels(searched(views))
    assert drawn.data["cell"].tolist() == ["capacity-p1-c1", "capacity-p4-c2"]
    assert answers.panels(searched(views)[1:]) == []


def test_the_summaries_carry_the_answers_and_the_probes(run: Path, views: dict[str, View]) -> None:
    read = reading.load(run)
    judged = verdict.decide(read, tuple(views.values()))
    written = json.loads(summary.to_json(read, tuple(views.values()), judged))
    assert written["sustainable_throughput"]["sustainable_events_per_s"] == 23_100
    assert [cell["capacity"]["confirmed"] for cell in written["cells"][1:]] == [False, True, False]
    text = summary.to_markdown(read, tuple(views.values()), judged)
    assert f"| {label(4, 2)} | 23,100 | 22,300–24,700 |" in text
    assert "| drain-c1 | " in text
    assert "| capacity-" not in text
    rows = pd.read_csv(io.StringIO(summary.to_csv(read)))
    probes = rows[rows["kind"] == "capacity"]
    assert set(probes["probe_verdict"].dropna()) == set(searches.VERDICTS) - {"void"}
    assert probes["probe_deficit_bound_events_per_s"].dtype == np.float64

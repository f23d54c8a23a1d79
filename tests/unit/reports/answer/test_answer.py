"""The first line: three things in at most 30 words. The table of cells: whole words, in the width that there is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundle import reading
from bundle.result import Sustained
from reports.answer import answer, ending, verdict
from reports.answer.answer import AnswerRow, held
from reports.answer.verdict import RunVerdict
from reports.cells import cells
from tests.unit.reports import made
from tests.unit.reports.made_bundle import Cell, Plan, searched_cells, write

MOST_WORDS = 30
REFERENCE = Path(__file__).parents[4] / "reports/reference"
CAP = searched_cells()[1]
DRAIN = Cell("drain-p4-c2", "drain", {"partitions": 4, "consumers": 2})
STEADY = Cell("steady-c1", "steady", {"consumers": 1})
NOTHING_BROKE = replace(
    CAP,
    probes=(("climb", 10_000.0, True), ("confirmation", 15_000.0, True), ("confirmation", 15_000.0, True)),
    sustainable=(15_000.0, 14_000.0, 16_000.0),
    capacity={"high_events_per_s": None, "ended": "the answer is confirmed; no higher load was to be probed"},
)
LONG = replace(CAP, axes={**CAP.axes, "batch_max_events": 500, "linger_ms": 20, "compression": "lz4"})
SHORT = replace(CAP, id="capacity-other")


def judge(run: Path) -> RunVerdict:
    read = reading.load(run)
    return verdict.decide(read, cells.summarise(read))


def words(judged: RunVerdict) -> int:
    return len(f"{judged.outcome}: {judged.sentence}".split())


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


PLANS = {
    "a search and its drain": Plan([CAP, DRAIN]),
    "lost events": Plan([CAP, DRAIN], lost={("drain-p4-c2", 2): 12}),
    "inconclusive": Plan([CAP, DRAIN], void={("drain-p4-c2", number): 3 for number in (1, 2)}),
    "nothing broke": Plan([NOTHING_BROKE]),
    "single cell": Plan([CAP]),
    "not confirmed": Plan([searched_cells()[0]]),
    "no load was held": Plan([searched_cells()[2]]),
    "drains only": Plan([DRAIN, Cell("drain-p4-c1", "drain", {"partitions": 4})]),
    "steady only": Plan([STEADY]),
    "nothing valid": Plan([CAP, STEADY], void={("steady-c1", number): 3 for number in (1, 2, 3)}),
    "axes with long names": Plan([LONG, SHORT]),
    "no repeat": Plan([DRAIN], rounds=0),
}


@pytest.mark.parametrize("name", [path.parent.name for path in REFERENCE.glob("*/manifest.json")])
def test_the_first_line_of_a_committed_run_has_at_most_30_words(name: str) -> None:
    assert words(judge(REFERENCE / name)) <= MOST_WORDS


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_the_first_line_has_at_most_30_words_and_says_what_was_lost(tmp_path: Path, plan: Plan) -> None:
    judged = judge(write(tmp_path, replace(plan, requests=1_200)))
    assert words(judged) <= MOST_WORDS, judged.sentence
    assert re.search(r"\d+ of [\d,]+ events lost|o accepted event is counted", judged.sentence), judged.sentence


def test_the_first_line_says_load_interval_configuration_what_breaks_first_and_losses(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([CAP, DRAIN], requests=1_200))
    for path in run.glob("cells/capacity-*/*/result.json"):
        edit(path, cpu_cores_per_role={"mongodb": 1.3, "worker": 0.6})
    judged = judge(run)
    assert re.fullmatch(
        r"4 partitions × 2 consumers held 23,100 events/s \(limit 22,300–24,700\) at p99 ≤ 1 s; "
        r"delivery latency breaks first, on the machine's CPU; 0 of [\d,]+ events lost\.",
        judged.sentence,
    )
    assert judged.evidence[0].startswith("Evidence: at 25,000 events/s, the lowest load above it")


def test_losses_come_first(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, PLANS["lost events"]))
    assert re.match(r"12 of [\d,]+ events lost; 4 partitions × 2 consumers held ", judged.sentence)


def test_where_nothing_broke_no_criterion_is_guessed(tmp_path: Path) -> None:
    judged = judge(write(tmp_path, replace(PLANS["nothing broke"], requests=1_200)))
    assert "(limit >14,000)" in judged.sentence
    assert "; no higher load was offered; " in judged.sentence
    assert judged.rows[0].breaks == "nothing"
    assert judged.evidence == ()


def test_a_drain_of_the_same_partitions_and_consumers_stands_in_the_row_of_the_search(tmp_path: Path) -> None:
    (row,) = judge(write(tmp_path, Plan([CAP, DRAIN], requests=1_200))).rows
    assert (row.load, row.interval) == (23_100, "22,300–24,700")
    assert row.drained is not None
    assert row.drained.n == 3
    assert row.p50_ms is not None
    assert row.p95_ms is not None
    assert row.p99_ms is not None
    assert row.p50_ms < row.p95_ms < row.p99_ms


def test_other_drains_and_steady_loads_have_rows_of_their_own(tmp_path: Path) -> None:
    other = Cell("drain-p4-c8", "drain", {"partitions": 4, "consumers": 8})
    judged = judge(write(tmp_path, Plan([CAP, other, STEADY], requests=1_200)))
    assert [row.label.replace("\u00a0", " ") for row in judged.rows] == ["4 × 2", "drain 4 × 8", "steady 3 × 1"]
    assert [row.load is None for row in judged.rows] == [False, True, False]


@pytest.mark.parametrize(
    ("said", "held"),
    [("sustained", " held the "), ("not sustained", " did not hold the "), ("straddles", "Whether 3 partitions ")],
)
def test_a_steady_load_was_held_by_rule_9_and_not_by_a_ratio(said: str, held: str, tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY], rounds=2))
    for path in run.glob("cells/*/*/result.json"):
        kept = {"deficit": 1, "low": 0, "bound": 2, "allowed": 3}
        edit(
            path,
            achieved=0.975,
            keeping_up={f"{name}_events_per_s": n for name, n in kept.items()} | {"verdict": said, "holds": True},
        )
    assert held in judge(run).sentence


def row(label: str = "4 × 2", breaks: str = "delivery latency: the machine's CPU", **fields: Any) -> AnswerRow:
    drained = made.drain([47_000.0, 48_000.0, 49_000.0]).throughput
    usual: dict[str, Any] = {"load": 30_100.0, "interval": "28,500–37,000", "p50_ms": 41.2, "lost": 0}
    usual |= {"p95_ms": 377.0, "p99_ms": 998.0}
    return AnswerRow(label=label, breaks=breaks, **(usual | {"drained": drained} | fields))


ROWS = (row(), row("1 × 1", "nothing", load=None, interval="unknown"), row("8 × 4, batch 500", "not determined"))


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_breaks_no_word_and_keeps_to_the_width(width: int) -> None:
    lines = ending.table(ROWS, width)
    assert max(map(len, lines)) <= width
    text = " ".join(lines)
    for each in ROWS:
        for word in f"{each.label} {each.breaks} {each.interval}".split():
            assert re.search(rf"(?<!\S){re.escape(word)}(?!\S)", text), word
    assert text.count("48,000") == 3
    assert text.count("377") == 3


def test_a_drain_that_does_not_fit_stands_below_and_not_twice() -> None:
    assert "drained:" in ending.table(ROWS, 80)
    assert "drained:" not in ending.table(ROWS, 100)
    assert "drained:" not in ending.table(ROWS[:2], 80)


def test_the_ending_says_nothing_twice_and_ends_with_the_table(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([CAP, DRAIN], requests=1_200, lost={("drain-p4-c2", 1): 3}))
    judged = judge(run)
    text = ending.text(judged, run / "report.html", str(run), 80)
    lines = text.splitlines()
    assert lines[0].startswith("FAILED: 3 of ")
    assert f"report: {run / 'report.html'}" in lines
    assert lines[-1] == ending.table(judged.rows, 80)[-1]
    sentences = [line.strip() for line in lines if len(line.split()) > 4]
    assert len(sentences) == len(set(sentences))
    unbroken = [line for line in lines if not line.startswith("report: ")]
    assert max(map(len, unbroken)) <= 80


def test_findings_that_are_alike_are_printed_once_with_their_number(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([DRAIN], lost={("drain-p4-c2", number): number for number in (1, 2, 3)}))
    text = " ".join(ending.text(judge(run), None, "RUN", 80).split())
    assert text.count("FINDING") == 1
    assert "(and in 2 more repeats)" in text


def test_a_steady_cell_of_an_old_bundle_without_deficit_is_not_determined() -> None:
    old = made.cell("steady", [made.result("steady", keeping_up=None)])
    assert held(old) is None
    kept = Sustained(1.0, 0.0, 2.0, 20.0, "sustained", holds=True)
    assert held(made.cell("steady", [made.result("steady", keeping_up=kept)])) is True


def test_of_answers_that_are_alike_one_with_a_bounded_limit_is_shown() -> None:
    open_above = made.capacity((36_200.0, 35_000.0, None))
    bounded = made.capacity((36_000.0, 35_700.0, 58_600.0), consumers=2)
    assert answer.best([open_above, bounded]) is bounded
    assert answer.best([open_above, made.capacity((20_000.0, 19_000.0, 24_000.0), consumers=2)]) is open_above

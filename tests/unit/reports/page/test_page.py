"""The page and the summaries: order, words, what may not be printed."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bundle import reading
from reports import formats
from reports.answer import verdict
from reports.cells import cells
from reports.page import page, summary
from tests.unit.reports.made_bundle import Cell, Plan, quick_cells, write

DRAIN = Cell("drain-c1", "drain", {"consumers": 1})
STEADY = Cell("steady-c1", "steady", {"consumers": 1})
SECTIONS = ["audit", "throughput", "durations", "stages", "cpu", "ceilings", "scaling", "advice", "backlog", "cells"]
SECTIONS += ["environment", "again"]


class Words(HTMLParser):
    """What a reader reads, and nothing of style sheets."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self._quiet = False
        self.feed(html)

    def handle_starttag(self, tag: str, _: object) -> None:
        self._quiet = tag == "style"

    def handle_endtag(self, _: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.text.append(data)

    def __str__(self) -> str:
        return " ".join(" ".join(self.text).split())


def make(run: Path) -> page.Page:
    read = reading.load(run)
    views = cells.summarise(read)
    return page.make(read, views, verdict.decide(read, views))


def sections(html: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', html)


@pytest.mark.parametrize("given", [[DRAIN], [STEADY], [DRAIN, STEADY], []], ids=["drain", "steady", "both", "none"])
def test_the_sections_stand_in_their_order_whatever_the_bundle_has(tmp_path: Path, given: list[Cell]) -> None:
    made = make(write(tmp_path, Plan(given, rounds=2, requests=300)))
    assert sections(made.html) == SECTIONS
    assert made.html.index('<header id="finding"') < made.html.index('<section id="audit"')


def test_the_badge_and_the_colour_are_those_of_the_outcome(tmp_path: Path) -> None:
    assert '<body class="passed">' in make(write(tmp_path, Plan([DRAIN], rounds=2), "a")).html
    lossy = make(write(tmp_path, Plan([DRAIN], rounds=2, lost={("drain-c1", 1): 12}), "b")).html
    assert '<body class="failed">' in lossy
    assert '<span class="level">Failed</span>' in lossy
    assert '<body class="inconclusive">' in make(write(tmp_path, Plan([DRAIN], status="running"), "c")).html


def test_the_word_latency_never_stands_alone(tmp_path: Path) -> None:
    text = str(Words(make(write(tmp_path, Plan([DRAIN, STEADY], rounds=2))).html))
    assert "elivery latency" in text
    assert re.findall(r"(?i)(?<!delivery[ -])\blatency\b", text) == []


def test_a_percentile_under_the_gate_is_nowhere_on_the_page(tmp_path: Path) -> None:
    few = make(write(tmp_path, Plan([STEADY], rounds=2, requests=400), "few"))
    enough = make(write(tmp_path, Plan([STEADY], rounds=3, requests=400), "enough"))
    for made, printed in ((few, False), (enough, True)):
        table = next(part.table for s in made.sections if s.name == "durations" for part in s.parts if part.table)
        (row,) = table.rows
        assert [value != formats.NOTHING for value in row[1:6]] == [True, True, True, printed, False]
        (drawn,) = [figure for figure in made.figures if figure.name == "delivery-latency-percentiles"]
        assert bool(drawn.data["q"].max() >= 0.99 - 1e-9) is printed


def test_both_identities_are_shown_as_sums(tmp_path: Path) -> None:
    text = str(Words(make(write(tmp_path, Plan([DRAIN], rounds=2, lost={("drain-c1", 1): 12}))).html))
    first = "offered 240,000 = accepted 240,000 + rejected 0 + in doubt 0 + unsent 0 this sum adds up"
    second = "accepted 240,000 = stored (accepted) 239,988 + dead-lettered 0 + undrained 0 + lost 12 this sum adds up"
    assert first in text
    assert second in text


def test_what_comes_from_the_bundle_is_escaped(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([DRAIN], rounds=1))
    path = run / "cells/drain-c1/1/result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"findings": ["<script>alert(1)</script>"]}))
    html = make(run).html
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_idle_consumers_are_shown_as_idle(tmp_path: Path) -> None:
    four = Cell("drain-c4", "drain", {"consumers": 4, "partitions": 1})
    text = str(Words(make(write(tmp_path, Plan([four], rounds=1))).html))
    assert "1 consumer idle, without a partition" in text
    assert "worker-4 idle none 0 0" in text


def test_assigned_partitions_are_shown_by_topic_without_the_common_prefix(tmp_path: Path) -> None:
    text = str(Words(make(write(tmp_path, Plan([DRAIN], rounds=1))).html))
    assert "worker-1 working page_view 0, 1, 2; signup 0, 1, 2; generic 0, 1, 2 9 120,000" in text


def test_one_repeat_settles_no_order(tmp_path: Path) -> None:
    two = [Cell(f"drain-c{c}", "drain", {"consumers": c}) for c in (1, 2)]
    once = str(Words(make(write(tmp_path, Plan(two, rounds=1), "once")).html))
    assert "one repeat gives no interval: the order is not settled" in once
    often = str(Words(make(write(tmp_path, Plan(two, rounds=3), "often")).html))
    assert "one repeat gives no interval" not in often


def test_void_attempts_are_listed_with_their_reasons(tmp_path: Path) -> None:
    text = str(Words(make(write(tmp_path, Plan([DRAIN], void={("drain-c1", 2): 1}))).html))
    assert "3 valid repeats, 1 void attempt" in text
    assert "drain-c1 round 2 generator: schedule delay p99 14.2 ms > 10 ms: the load was not the load intended" in text


def test_the_command_that_repeats_it_is_the_last_section(tmp_path: Path) -> None:
    html = make(write(tmp_path, Plan([DRAIN], rounds=1))).html
    assert "<pre>./tidemark bench quick --rounds 3</pre>" in html[html.index('<section id="again">') :]


def test_the_command_of_an_older_run_is_shown_in_the_form_that_runs_from_a_clone(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([DRAIN], rounds=1))
    manifest = json.loads((run / "manifest.json").read_text()) | {"command": "python -m bench run quick"}
    (run / "manifest.json").write_text(json.dumps(manifest))
    read = reading.load(run)
    views = cells.summarise(read)
    judged = verdict.decide(read, views)
    for text in (page.make(read, views, judged).html, summary.to_markdown(read, views, judged)):
        assert "./tidemark bench run quick" in text
        assert "python -m" not in text


@pytest.fixture(scope="module")
def lossy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lost = {("drain-p3-c2", 2): 12}
    return write(tmp_path_factory.mktemp("runs"), Plan(quick_cells(), rounds=2, lost=lost, requests=600))


class TestSummaries:
    def test_csv_has_a_row_for_each_attempt(self, lossy_run: Path) -> None:
        rows = list(csv.DictReader(io.StringIO(summary.to_csv(reading.load(lossy_run)))))
        assert len(rows) == 20
        assert sum(int(row["lost"]) for row in rows) == 12
        assert float(rows[0]["throughput_events_per_s"]) > 0

    def test_json_has_verdict_audit_and_cells(self, lossy_run: Path) -> None:
        read = reading.load(lossy_run)
        views = cells.summarise(read)
        content = json.loads(summary.to_json(read, views, verdict.decide(read, views)))
        assert (content["level"], content["exit_code"]) == ("failed", 1)
        assert content["audit"]["lost"] == 12
        assert [cell["cell"] for cell in content["cells"]] == [cell.id for cell in quick_cells()]
        steady = content["cells"][-1]
        assert steady["delivery_latency_ms"]["p90"] > 0
        assert steady["delivery_latency_ms"]["p999"] is None

    def test_markdown_has_the_finding_the_sums_and_a_row_for_each_cell(self, lossy_run: Path) -> None:
        read = reading.load(lossy_run)
        views = cells.summarise(read)
        text = summary.to_markdown(read, views, verdict.decide(read, views))
        assert "**FAILED: 12 of " in text
        assert re.search(r"[\d,]+ offered = [\d,]+ accepted \+ 0 rejected \+ 0 in doubt \+ 0 unsent", text)
        assert text.count("\n| drain-") + text.count("\n| steady-") == 10
        assert text.count("\n| drain ") + text.count("\n| steady ") == 10

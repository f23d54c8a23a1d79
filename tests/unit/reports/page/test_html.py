"""The page for every reader: by keyboard or screen reader, on a small screen, on paper."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bundle import reading
from reports import formats
from reports.answer import verdict
from reports.cells import cells
from reports.comparison import comparing
from reports.comparison import page as comparison_page
from reports.page import page
from reports.ratios.outcome import Rules
from tests.unit.reports import made_pair
from tests.unit.reports.made_bundle import Cell, Plan, write

PROBES = (("climb", 4_000.0, True), ("climb", 9_000.0, False), ("bisection", 6_000.0, "void"))
CONFIRMED = (("confirmation", 5_000.0, True),) * 3
CAPACITY = Cell("capacity-c1", "capacity", {"consumers": 1}, PROBES + CONFIRMED, (5_000.0, 4_500.0, 5_500.0))
STEADY = Cell("steady-c1", "steady", {"consumers": 1})
DRAIN = Cell("drain-c1", "drain", {"consumers": 1})
VOID_ELEMENTS = {"meta", "br", "img", "link", "input", "path", "rect", "use", "line", "circle"}


class Node:
    """An element with its attributes, its children and its words."""

    def __init__(self, tag: str, attributes: dict[str, str], above: Node | None) -> None:
        self.tag, self.attributes, self.above = tag, attributes, above
        self.children: list[Node] = []
        self.words = ""

    def all(self, tag: str) -> list[Node]:
        found = [self] if self.tag == tag else []
        return found + [one for child in self.children for one in child.all(tag)]

    def text(self) -> str:
        return " ".join((self.words + " " + " ".join(child.text() for child in self.children)).split())

    def has(self, name: str) -> bool:
        return name in self.attributes.get("class", "").split()


class Tree(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.root = self.here = Node("", {}, None)
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attributes}, self.here)
        self.here.children.append(node)
        if tag not in VOID_ELEMENTS:
            self.here = node

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.here.children.append(Node(tag, {name: value or "" for name, value in attributes}, self.here))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID_ELEMENTS and self.here.above is not None:
            assert self.here.tag == tag
            self.here = self.here.above

    def handle_data(self, data: str) -> None:
        self.here.words += data


def report(run: Path) -> page.Page:
    read = reading.load(run)
    views = cells.summarise(read)
    return page.make(read, views, verdict.decide(read, views))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def made(root: Path) -> page.Page:
    void = {("drain-c1", 1): 1, ("steady-c1", 2): 3, ("steady-c1", 1): 2, ("drain-c1", 2): 2}
    return report(write(root, Plan([DRAIN, STEADY, CAPACITY], rounds=2, void=void)))


@pytest.fixture(scope="module")
def tree(made: page.Page) -> Node:
    return Tree(made.html).root


class TestTables:
    def test_every_table_has_a_caption_and_names_its_rows_and_columns(self, tree: Node) -> None:
        tables = tree.all("table")
        assert len(tables) > 20
        for table in tables:
            assert [one.text() != "" for one in table.all("caption")] == [True]
            heads = [head for one in table.all("thead") for head in one.all("th")]
            assert {head.attributes.get("scope") for head in heads} <= {"col"}
            rows = [row for body in table.all("tbody") for row in body.all("tr")]
            assert all([one.attributes.get("scope") for one in row.all("th")] == ["row"] for row in rows)

    def test_no_head_is_empty(self, tree: Node) -> None:
        assert [
            head.above for head in tree.all("th") if head.attributes.get("scope") == "col" and not head.text()
        ] == []

    def test_every_table_of_more_than_two_columns_can_be_scrolled_by_keyboard_and_shows_that_it_scrolls(
        self, tree: Node
    ) -> None:
        wide = [table for table in tree.all("table") if len(table.all("tr")[0].children) > 2]
        assert len(wide) > 20
        for table in wide:
            around = table.above
            assert around is not None
            assert around.has("table")
            assert around.attributes["tabindex"] == "0"
            assert around.attributes["role"] == "group"
            assert around.attributes["aria-label"]
            assert [one.has("sideways") for one in around.all("p")] == [True]

    def test_tables_of_two_columns_wrap_and_need_no_scrolling(self, tree: Node) -> None:
        around = [table.above for table in tree.all("table") if len(table.all("tr")[0].children) <= 2]
        assert around
        assert all(one.has("pairs") and "tabindex" not in one.attributes for one in around if one)

    def test_a_column_of_numbers_is_not_pushed_out_by_reasons_that_do_not_wrap(self, tree: Node) -> None:
        """Names of rows stand on one line, but sentences do not: the counts beside them were cut off."""
        names = {
            table.all("caption")[0].text(): max(len(row.all("th")[0].text()) for row in body.all("tr"))
            for table in tree.all("table")
            for body in table.all("tbody")
            if body.has("short") and body.all("tr")
        }
        assert max(names.values()) <= 34
        (reasons,) = [one for one in tree.all("table") if one.all("caption")[0].text() == "Void attempts by reason"]
        assert not reasons.all("tbody")[0].has("short")


class TestFigures:
    def test_every_figure_has_a_text_alternative_that_names_it_and_its_data(self, tree: Node) -> None:
        figures = tree.all("figure")
        assert len(figures) > 5
        for figure in figures:
            (drawing,) = figure.all("svg")
            title = figure.all("figcaption")[0].text()
            assert drawing.attributes["role"] == "img"
            assert " ".join(drawing.attributes["aria-label"].split()).startswith(f"{title}: ")
            assert figure.all("details")[0].all("table")

    def test_a_file_of_its_own_does_not_speak_of_a_table_under_it(self, made: page.Page) -> None:
        assert not [figure.name for figure in made.figures if "under it" in figure.drawing.file]


class TestPaper:
    """What of the page is printed: sections by their class, and nothing that is folded."""

    def test_a_printed_report_has_the_key_figures_the_account_and_the_environment(self, tree: Node) -> None:
        printed = [one.attributes["id"] for one in tree.all("section") if not one.has("screen")]
        assert printed == ["audit", "capacity", "throughput", "durations", "environment", "again"]

    def test_a_printed_report_names_every_section_that_it_leaves_out(self, tree: Node) -> None:
        left_out = [one.all("h2")[0].text() for one in tree.all("section") if one.has("screen")]
        (line,) = [one.text() for one in tree.all("p") if one.has("print")]
        assert re.findall("“(.*?)”", line) == left_out

    def test_what_is_left_out_and_what_is_folded_is_not_printed(self, made: page.Page) -> None:
        paper = made.html[made.html.index("@media print{\n") :]
        assert "nav,details,.screen,.sideways{display:none}" in paper


def test_the_table_of_the_cells_follows_the_headline_and_no_tiles_repeat_it(
    made: page.Page,
) -> None:
    header = Tree(made.html[: made.html.index("</header>")] + "</header></body></html>").root.all("header")[0]
    (inner,) = header.children
    assert [one.tag for one in inner.children[:3]] == ["p", "h1", "div"]
    (table,) = header.all("table")
    heads = [one.text() for one in table.all("th") if one.attributes["scope"] == "col"]
    assert {"load held, events/s", "delivery latency p50, ms", "p95, ms", "p99, ms", "what breaks first"} <= set(heads)
    assert "<dl" not in made.html


def test_ids_are_unique(tree: Node) -> None:
    def ids(node: Node) -> list[str]:
        own = [node.attributes["id"]] if "id" in node.attributes else []
        return own + [one for child in node.children for one in ids(child)]

    every = ids(tree)
    assert sorted(every) == sorted(set(every))


def test_a_comparison_has_captions_and_scrolls_alike(root: Path) -> None:
    base, new = made_pair.write_pair(root, made_pair.Pair(rounds=6))
    made = comparison_page.make(comparing.compare(reading.load(base), reading.load(new), Rules()))
    tables = Tree(made).root.all("table")
    assert tables
    assert all(table.all("caption")[0].text() for table in tables)


class TestP95:
    def test_every_probe_shows_the_p95(self, made: page.Page) -> None:
        (section,) = [one for one in made.sections if one.name == "capacity"]
        probes = next(part.table for part in section.parts if part.table and "step" in part.table.heads)
        at = probes.heads.index("p95, ms")
        assert probes.heads[at - 1 : at + 2] == ("delivery latency p50, ms", "p95, ms", "p99, ms")
        assert all(row[at] != formats.NOTHING for row in probes.rows)

    def test_the_figure_of_a_search_and_its_data_have_the_p95(self, made: page.Page) -> None:
        (figure,) = [one for one in made.figures if one.name == "capacity-c1"]
        assert (figure.data["delivery_latency_p50_ms"] < figure.data["delivery_latency_p95_ms"]).all()
        assert ">p95<" in figure.drawing.inline

    def test_percentile_curves_mark_the_p95(self, made: page.Page) -> None:
        (figure,) = [one for one in made.figures if one.name == "delivery-latency-percentiles"]
        assert ">95%<" in figure.drawing.inline

    def test_attempts_of_a_cell_and_percentiles_of_all_cells_have_the_p95(self, made: page.Page) -> None:
        attempts = next(one.parts[0].table for one in made.cells if one.name == "cell-steady-c1")
        assert attempts is not None
        assert {"delivery latency p95, ms", "response time p95, ms"} <= set(attempts.heads)
        (section,) = [one for one in made.sections if one.name == "durations"]
        assert next(part.table.heads.count("p95") for part in section.parts if part.table) == 2

    def test_two_runs_are_compared_by_the_p95_too(self, root: Path) -> None:
        pair = made_pair.write_pair(root / "pair", made_pair.Pair([made_pair.STEADY], rounds=3))
        made = comparing.compare(reading.load(pair[0]), reading.load(pair[1]), Rules())
        titles = [ratio.measure.title for cell in made.cells for ratio in cell.beside]
        assert {"delivery latency p95", "response time p95"} <= set(titles)

    def test_a_run_without_p95_shows_a_dash_for_a_repeat_and_the_pooled_value_for_a_cell(self, root: Path) -> None:
        run = write(root, Plan([STEADY], rounds=2), "older")
        for path in run.glob("cells/*/*/result.json"):
            made_pair.rewrite(path, lambda result: result["delivery_latency_ms"].pop("p95"))
        older = report(run)
        attempts = older.cells[0].parts[0].table
        assert attempts is not None
        at = attempts.heads.index("delivery latency p95, ms")
        assert [row[at] for row in attempts.rows] == [formats.NOTHING] * 2
        (section,) = [one for one in older.sections if one.name == "durations"]
        pooled = next(part.table for part in section.parts if part.table)
        assert pooled.rows[0][pooled.heads.index("p95")] != formats.NOTHING


def test_the_table_of_the_cells_has_no_column_without_a_value(root: Path) -> None:
    header = report(write(root, Plan([DRAIN], rounds=2), "drains")).html
    (table,) = Tree(header[: header.index("</header>")] + "</header></body></html>").root.all("table")
    heads = [one.text() for one in table.all("th") if one.attributes["scope"] == "col"]
    assert heads == ["cell", "drained, events/s", "95% t interval", "what breaks first", "events lost"]


def test_a_search_that_held_no_load_shows_a_dash_for_the_p95(root: Path) -> None:
    found = {"sustainable_events_per_s": None, "low_events_per_s": None, "confirmed": False}
    nothing = replace(CAPACITY, id="capacity-none", capacity=found)
    html = report(write(root, Plan([nothing], rounds=1), "none")).html
    (table,) = Tree(html[: html.index("</header>")] + "</header></body></html>").root.all("table")
    at = [one.text() for one in table.all("th") if one.attributes["scope"] == "col"].index("load held, events/s")
    assert [row.children[at].text() for row in table.all("tbody")[0].all("tr")] == [formats.NOTHING]


def test_findings_that_are_alike_are_said_once_with_their_number(root: Path) -> None:
    lost = {("drain-c1", number): number for number in (1, 2, 3)}
    html = report(write(root, Plan([DRAIN], lost=lost), "alike")).html
    tree = Tree(html[: html.index("</header>")] + "</header></body></html>").root
    (said,) = [one.text() for one in tree.all("li") if "accepted and then lost" in one.text()]
    assert "(and in 2 more repeats)" in said

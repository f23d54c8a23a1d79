"""``./tidemark report`` as a whole: exit codes, the files beside the bundle, a page that needs nothing but itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.unit.reports.made_bundle import Plan, quick_cells, write

ROOT = Path(__file__).resolve().parents[2]
VOID_ELEMENTS = {"meta", "br", "hr", "img", "input", "link"}
SECTIONS = ["audit", "throughput", "durations", "stages", "cpu", "ceilings", "scaling", "advice", "backlog", "cells"]
SECTIONS += ["environment", "again"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Sheet(HTMLParser):
    """Collects what can be wrong with a page: tags left open, ids, references."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.figures_with_data: list[bool] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)
        if tag == "figure":
            self.figures_with_data.append(False)
        if tag == "td" and "figure" in self.open:
            self.figures_with_data[-1] = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src", "srcset", "xlink:href", "data", "action", "poster"}:
                self.references.append(value or "")
            self.references += re.findall(r"url\(['\"]?(.*?)['\"]?\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)


def report(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "reports", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sound run, and the report on it."""
    folder = tmp_path_factory.mktemp("home")
    write(folder / "runs", Plan(quick_cells(), void={("steady-p1-c2", 2): 1}), "sound")
    done = report("--latest", folder / "latest.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def html(home: Path) -> str:
    return (home / "runs/sound/report.html").read_text()


def test_the_newest_run_is_reported_and_a_table_of_its_cells_comes_last(home: Path) -> None:
    lines = (home / "said.txt").read_text().splitlines()
    assert lines[0].startswith("PASSED: The whole path was not measured; ")
    assert "report: runs/sound/report.html" in lines
    table = lines[lines.index("") + 1 :]
    assert sum(line.startswith(("drain ", "steady ")) for line in table) == len(quick_cells())
    assert max(map(len, lines)) <= 80


def test_everything_is_written_beside_the_bundle_and_nothing_is_left_half_done(home: Path, html: str) -> None:
    run = home / "runs/sound"
    assert {path.name for path in run.iterdir()} == {
        "cells",
        "figures",
        "manifest.json",
        "report.html",
        "summary.csv",
        "summary.json",
        "summary.md",
    }
    assert (home / "latest.html").read_text() == html


def test_every_figure_has_its_drawing_its_csv_and_its_table(home: Path, html: str) -> None:
    names = re.findall(r'<figure id="figure-([^"]+)"', html)
    assert len(names) > 15
    folder = home / "runs/sound/figures"
    assert {path.name for path in folder.iterdir()} == {f"{n}.{e}" for n in names for e in ("svg", "csv")}
    for name in names:
        drawn = ET.parse(folder / f"{name}.svg").getroot()  # noqa: S314 - our own output
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
        assert len((folder / f"{name}.csv").read_text().splitlines()) > 1
    sheet = Sheet(html)
    assert sheet.figures_with_data == [True] * len(names)


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    sheet = Sheet(html)
    assert [reference for reference in sheet.references if not reference.startswith("#")] == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(sheet.tags)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html


def test_ids_are_unique_and_every_reference_finds_one(html: str) -> None:
    sheet = Sheet(html)
    assert len(sheet.ids) == len(set(sheet.ids))
    assert {reference.removeprefix("#") for reference in sheet.references} <= set(sheet.ids)


def test_every_tag_is_closed_where_it_was_opened(html: str) -> None:
    sheet = Sheet(html)
    assert (sheet.open, sheet.crossed) == ([], [])
    assert html.startswith("<!doctype html>")
    assert sheet.tags.count("h1") == 1
    assert re.search(r'<html lang="en">', html)


def test_the_sections_stand_in_order_and_follow_light_dark_phone_and_print(html: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', html) == SECTIONS
    for rule in ("prefers-color-scheme:dark", "max-width:40rem", "@media print", 'name="viewport"'):
        assert rule in html


def test_a_loss_exits_1_and_is_said_first(tmp_path: Path) -> None:
    cells = [cell for cell in quick_cells() if cell.kind == "drain"]
    run = write(tmp_path, Plan(cells, rounds=2, lost={("drain-p3-c2", 2): 12}))
    done = report(run, "--latest", tmp_path / "latest.html", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED: 12 of ")
    assert "FINDING: drain-p3-c2 round 2: 12 accepted and then lost" in done.stdout
    assert '<body class="failed">' in (run / "report.html").read_text()


@pytest.mark.parametrize(
    "plan",
    [
        Plan(quick_cells(), rounds=1, status="interrupted", missing={("steady-p3-c2", 1)}, requests=40),
        Plan(quick_cells(), rounds=2, crashed={("drain-p1-c1", 1), ("steady-p1-c1", 2)}, requests=40),
        Plan(quick_cells(), rounds=1, void={("steady-p1-c1", 1): 3}, requests=40),
        Plan(quick_cells(), rounds=0, status="running"),
        Plan([], status="interrupted"),
    ],
    ids=["interrupted", "crashed", "void", "just begun", "nothing planned"],
)
def test_a_bundle_with_gaps_is_reported_and_the_gaps_are_named(tmp_path: Path, plan: Plan) -> None:
    run = write(tmp_path, plan)
    done = report(run, "--latest", tmp_path / "latest.html", cwd=tmp_path)
    assert done.returncode in {1, 4}, done.stderr
    assert done.stderr == ""
    html = (run / "report.html").read_text()
    assert '<body class="passed">' not in html
    sheet = Sheet(html)
    assert (sheet.open, sheet.crossed) == ([], [])


def test_another_schema_version_exits_2_and_says_which_is_needed(tmp_path: Path) -> None:
    run = write(tmp_path, Plan(quick_cells(), rounds=0, schema_version=7))
    done = report(run, "--latest", tmp_path / "latest.html", cwd=tmp_path)
    assert done.returncode == 2
    assert "schema_version 7, and this program needs schema_version 2" in done.stderr
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("arguments", [["no-such-run"], [], ["--no-such-option"]])
def test_bad_usage_exits_2(tmp_path: Path, arguments: list[str]) -> None:
    done = report(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_help_has_examples_and_exit_codes(tmp_path: Path) -> None:
    done = report("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "./tidemark report runs/" in done.stdout
    assert "exit codes:" in done.stdout


class TestInABrowser:
    @pytest.fixture
    def browser(self) -> str:
        for name in BROWSERS:
            found = shutil.which(name)
            if found:
                return found
        pytest.skip(f"no browser to look with: none of {', '.join(BROWSERS)} is on PATH")

    @pytest.mark.parametrize("width", [390, 1280])
    def test_nothing_is_wider_than_the_window(self, browser: str, html: str, tmp_path: Path, width: int) -> None:
        script = "const d=f.contentDocument.documentElement;say([d.scrollWidth,d.clientWidth])"
        (wide, window) = self.measure(browser, html, tmp_path, width, script)
        assert wide <= window <= width

    @pytest.mark.parametrize("width", [390, 1280])
    def test_a_table_that_is_cut_shows_that_it_scrolls_and_no_other_does(
        self, browser: str, html: str, tmp_path: Path, width: int
    ) -> None:
        script = (
            "const d=f.contentDocument;d.querySelectorAll('details').forEach(e=>e.open=true);"
            "setTimeout(()=>{const all=[...d.querySelectorAll('.table')];"
            "const cut=all.filter(t=>t.scrollWidth>t.clientWidth+1);"
            "const told=t=>f.contentWindow.getComputedStyle(t.querySelector('.sideways')).visibility=='visible';"
            "say([all.length,cut.length,cut.filter(told).length,all.filter(told).length,"
            "cut.filter(t=>t.tabIndex<0).length])},1000)"
        )
        every, cut, shown_of_cut, shown, not_to_be_reached = self.measure(browser, html, tmp_path, width, script)
        assert 0 < cut < every
        assert (shown_of_cut, shown, not_to_be_reached) == (cut, cut, 0)

    def test_a_print_has_at_most_six_pages(self, browser: str, html: str, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text(html)
        printed = tmp_path / "page.pdf"
        command = [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={printed}"]
        done = subprocess.run(
            [*command, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=100, check=False
        )
        assert printed.is_file(), done.stderr[-2000:]
        assert 0 < len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) <= 6

    @staticmethod
    def measure(browser: str, html: str, folder: Path, width: int, script: str) -> list[int]:
        """Return the numbers that ``script`` says of the page in a window of ``width`` pixels."""
        # A frame of the wanted width: a headless window itself is never narrower than 500 pixels.
        (folder / "page.html").write_text(html)
        (folder / "frame.html").write_text(
            f'<iframe id="f" src="page.html" style="width:{width}px;height:900px;border:0"></iframe><script>'
            "const say=numbers=>document.body.append('MEASURED '+numbers.join(' ')+'.');"
            f"f.onload=()=>{{{script}}}</script>"
        )
        command = [browser, *FLAGS, "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}"]
        command += ["--virtual-time-budget=5000", "--dump-dom", (folder / "frame.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        measured = re.search(r"MEASURED ([\d ]+)\.", done.stdout)
        assert measured, done.stderr[-2000:]
        return [int(number) for number in measured.group(1).split()]

"""A run takes its loads from another one: which, from where, and what happens where that one has none."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bench import __main__ as command
from bench.cells.objective import OfferedLoad
from bench.matrix import baseline, matrix
from bench.matrix.matrix import Matrix
from bench.observe import environment
from bench.run import manifest, plan, run
from bench.run.execution import Run
from bench.run.progress import Display
from bundle import reading
from bundle.manifest import Baseline
from pipeline.errors import UsageError
from pipeline.settings import Settings
from tests.unit.reports.made_bundle import Cell, Plan, write
from tests.unit.reports.made_pair import rewrite
from tests.unit.reports.page.test_page import Words, make

TEXT = """
name = "m"
rounds = 2
[[cells]]
kind = "drain"
fixed = { partitions = 3, consumers = 1 }
[[cells]]
kind = "steady"
fixed = { partitions = 3, consumers = 1 }
offered_load = { share_of_drain = 0.5 }
[[cells]]
kind = "steady"
fixed = { partitions = 3, consumers = 2 }
offered_load = 7000
[[cells]]
kind = "capacity"
fixed = { partitions = 3, consumers = 1 }
"""


def wanted() -> Matrix:
    return matrix.parse(TEXT, "m.toml")


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A run of the same cells: 120,000 events drained, 15,000 events/s offered, 8,000 sustained."""
    drain, steady, _, search = (cell.id for cell in wanted().cells)
    cells = [
        Cell(drain, "drain"),
        Cell(steady, "steady", {"offered_load": 15_000.0}),
        Cell(search, "capacity", {}, (("climb", 16_000.0, False), ("climb", 8_000.0, True)), (8_000.0, 7_500.0, 9e3)),
    ]
    return write(tmp_path, Plan(cells, rounds=2, requests=50), "earlier")


def test_what_the_matrix_leaves_to_the_run_is_taken_from_the_same_cells(earlier: Path) -> None:
    taken = baseline.read(earlier, wanted())
    assert taken.run_id == "earlier"
    drain, steady, fixed, search = baseline.applied(wanted(), taken).cells
    assert (drain.events, steady.offered_load, fixed.offered_load, search.start_load) == (120_000, 15_000, 7_000, 8_000)
    assert [cell.id for cell in wanted().cells] == [drain.id, steady.id, fixed.id, search.id]
    assert fixed.id not in taken.loads


def test_without_a_baseline_loads_stay_open() -> None:
    assert isinstance(baseline.applied(wanted(), None).cells[1].offered_load, OfferedLoad)


def test_nothing_waits_for_the_drains_of_a_run_that_has_its_loads(earlier: Path) -> None:
    asked = baseline.applied(wanted(), baseline.read(earlier, wanted()))
    assert not any(isinstance(repeat.cell.offered_load, OfferedLoad) for repeat in plan.order(asked))


def test_a_search_that_has_not_ended_is_begun_at_the_lowest_load_of_its_probes(earlier: Path) -> None:
    search = wanted().cells[3].id
    (earlier / "cells" / search / "capacity.json").unlink()
    assert baseline.read(earlier, wanted()).loads[search] == 8_000


def test_a_baseline_without_a_valid_repeat_of_a_cell_is_refused_by_name(earlier: Path) -> None:
    steady = wanted().cells[1].id
    for file in (earlier / "cells" / steady).glob("*/result.json"):
        rewrite(file, lambda result: result.update(valid=False))
    with pytest.raises(UsageError, match=f"no valid repeat of {steady}, so it has no load for it: name a run of"):
        baseline.read(earlier, wanted())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda run: (run / "manifest.json").unlink(), "there is no .*manifest.json, nor one in"),
        (lambda run: (run / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda run: rewrite(run / "manifest.json", lambda m: m.update(schema_version=1)), "has schema version 1"),
    ],
)
def test_a_run_that_cannot_be_read_is_bad_usage(earlier: Path, damage, says: str) -> None:
    damage(earlier)
    with pytest.raises(UsageError, match=says):
        baseline.read(baseline.find("earlier", earlier.parent), wanted())


def test_the_command_refuses_it_before_anything_is_started(
    earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.toml"
    file.write_text(TEXT.replace("partitions = 3", "partitions = 5"))
    assert command.main(["run", str(file), "--out", str(earlier.parent), "--baseline", "earlier"]) == 2
    error = capsys.readouterr().err
    assert "it has no valid repeat of drain-p5-c1, steady-p5-c1, capacity-p5-c1, so" in error
    assert error.count("\n") == 1
    assert not list(earlier.parent.glob("*-m"))


def test_a_run_that_is_resumed_offers_the_same_loads(
    earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, here = wanted(), environment.describe()
    began = manifest.begin(
        asked, plan.order(asked), run_id="r", environment=here, servers="local", command="", started_at=""
    )
    folder = tmp_path / "r"
    folder.mkdir()
    began = msgspec.structs.replace(began, baseline=baseline.read(earlier, asked))
    (folder / "manifest.json").write_bytes(msgspec.json.encode(began))
    resumed: list[Run] = []

    def carry_out(runs: list[Run], *_: object) -> list[None]:
        resumed.extend(runs)
        runs[0].bundle.close()
        return [None]

    monkeypatch.setattr(run, "carry_out", carry_out)
    with Display(plain=True) as display:
        run.resume(folder, display=display, settings=Settings(), local=True)
    assert [repeat.cell.offered_load for repeat in resumed[0].order if repeat.cell.kind == "steady"].count(15_000) == 2


def test_report_and_compare_say_whose_loads_were_offered(earlier: Path, tmp_path: Path) -> None:
    later = write(tmp_path, Plan([Cell("drain-p3-c1", "drain")], rounds=2), "later")
    loads = msgspec.to_builtins(Baseline("earlier", {"drain-p3-c1": 120_000.0}))
    rewrite(later / "manifest.json", lambda content: content.update(baseline=loads))
    assert reading.load(later).manifest.baseline is not None
    assert "loads taken from earlier (1 cell)" in str(Words(make(later).html))
    answer = tmp_path / "c.json"
    assert (
        command.main(["compare", str(earlier), str(later), "--json", str(answer), "--html", str(tmp_path / "c.html")])
        == 0
    )
    assert json.loads(answer.read_text())["base"] == "earlier"
    assert "NEW with the loads of BASE" in (tmp_path / "c.html").read_text()

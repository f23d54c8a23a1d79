"""A toy kind is reported and compared; an unknown one is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.__main__
import reports.__main__
from bundle import reading
from bundle.errors import BundleError
from reports import kinds
from reports.cells import cells
from tests import toykind
from tests.unit.reports.made_bundle import Cell, Plan, write

AXES = {"partitions": 1, "consumers": 1, "offered_load": 400.0, "pulses": 2}
CELL = Cell("pulse-p1-c1-at400", "pulse", AXES)


@pytest.fixture
def pulse() -> Iterator[None]:
    with toykind.added():
        yield


def measured(folder: Path, name: str, late_ms: float) -> Path:
    """Write a run with a toy cell whose pulses were so late."""
    run = write(folder, Plan([CELL]), name)
    for path in run.glob("cells/*/*/result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps(result | {"of_kind": {"pulses_late_ms": [0.5, late_ms]}}))
    return run


@pytest.mark.usefixtures("pulse")
def test_a_toy_kind_is_reported_with_its_own_section(tmp_path: Path) -> None:
    run = measured(tmp_path, "one", 3.25)
    assert reports.__main__.main([str(run), "--latest", str(tmp_path / "latest.html")]) == 0
    page = (run / "report.html").read_text()
    assert "What was stored of a load with a pulse beside it?" in page
    assert "How late the pulses were." in page
    assert page.count(">3.2<") == 3
    assert "pulse-p1-c1-at400" in (run / "summary.md").read_text()


@pytest.mark.usefixtures("pulse")
def test_a_toy_kind_is_compared_by_its_primary_measure_with_its_own_beside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = measured(tmp_path, "base", 2.0), measured(tmp_path, "new", 4.0)
    page, as_json = tmp_path / "compare.html", tmp_path / "compare.json"
    code = bench.__main__.main(
        ["compare", str(base), str(new), "--html", str(page), "--json", str(as_json), "--runs", str(tmp_path)]
    )
    assert code == 0, capsys.readouterr()
    (cell,) = json.loads(as_json.read_text())["cells"]
    assert cell["kind"] == "pulse"
    assert cell["primary"]["measure"].startswith("delivery_latency")
    assert "pulse_late_ms" in {each["measure"] for each in cell["beside"]}
    assert "latest pulse" in page.read_text()


def test_a_run_with_an_unknown_kind_is_refused_by_run_and_cell(tmp_path: Path) -> None:
    with toykind.added():
        run = measured(tmp_path, "one", 1.0)
    with pytest.raises(BundleError, match=r"one/manifest\.json, cell pulse-p1-c1-at400: 'pulse' is no kind of cell"):
        cells.summarise(reading.load(run))


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(BundleError, match=r"'pulse' is no kind of cell that this program knows \(capacity, drain, st"):
        kinds.named("pulse")

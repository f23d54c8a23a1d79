"""The summaries: one row an attempt as CSV, the whole as JSON, the finding and the cells as Markdown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bundle import reading
from reports.answer import verdict
from reports.cells import cells
from reports.page import summary
from stats.percentiles import PERCENTILES
from tests.unit.reports.made_bundle import Cell, Plan, write

DRAIN = Cell("drain-c4", "drain", {"consumers": 4, "partitions": 1})
STEADY = Cell("steady-c1", "steady", {"consumers": 1})


def csv(run: Path) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(summary.to_csv(reading.load(run))))


def as_json(run: Path) -> dict[str, Any]:
    read = reading.load(run)
    views = cells.summarise(read)
    return json.loads(summary.to_json(read, views, verdict.decide(read, views)))


def markdown(run: Path) -> str:
    read = reading.load(run)
    views = cells.summarise(read)
    return summary.to_markdown(read, views, verdict.decide(read, views))


def test_csv_has_a_row_for_each_attempt_void_ones_too(tmp_path: Path) -> None:
    rows = csv(write(tmp_path, Plan([DRAIN, STEADY], rounds=2, void={("drain-c4", 2): 1}, requests=400)))
    assert list(zip(rows["cell"], rows["round"], rows["attempt"], rows["valid"], strict=True)) == [
        ("drain-c4", 1, 1, True),
        ("drain-c4", 2, 1, False),
        ("drain-c4", 2, 2, True),
        ("steady-c1", 1, 1, True),
        ("steady-c1", 2, 1, True),
    ]
    assert rows["reasons"].notna().tolist() == [False, True, False, False, False]


def test_csv_numbers_are_numbers_that_a_program_reads(tmp_path: Path) -> None:
    rows = csv(write(tmp_path, Plan([DRAIN, STEADY], rounds=1, requests=400)))
    for column in ("batch_max_events", "consumers", "throughput_events_per_s", "offered", "lost", "cpu_cores_mongodb"):
        assert pd.api.types.is_numeric_dtype(rows[column]), column
    assert rows["batch_max_events"].tolist() == [2000, 2000]
    assert rows["event_mix"][0] == "page_view 0.8, signup 0.05, purchase 0.15"


def test_csv_is_empty_where_a_percentile_is_under_the_gate_or_has_no_meaning(tmp_path: Path) -> None:
    rows = csv(write(tmp_path, Plan([DRAIN, STEADY], rounds=1, requests=400))).set_index("cell")
    columns = [f"delivery_latency_{name}_ms" for name in PERCENTILES]
    assert rows.loc["drain-c4", columns].isna().all()
    assert rows.loc["steady-c1", columns].notna().tolist() == [True, True, True, False, False]


def test_json_has_the_verdict_the_sums_and_each_cell(tmp_path: Path) -> None:
    written = as_json(write(tmp_path, Plan([DRAIN, STEADY], rounds=2, lost={("drain-c4", 2): 12}, requests=400)))
    assert (written["schema_version"], written["level"], written["valid_repeats"], written["void_attempts"]) == (
        2,
        "failed",
        4,
        [],
    )
    assert written["finding"].startswith("12 of ")
    assert written["findings"][0]["repeat"] == "drain-c4 round 2"
    assert written["audit"]["lost"] == 12
    drain, steady = written["cells"]
    assert (drain["cell"], drain["axes"]["partitions"], drain["idle_consumers"]) == ("drain-c4", 1, 1)
    assert drain["throughput_events_per_s"]["n"] == len(drain["repeats_events_per_s"]) == 2
    assert drain["delivery_latency_ms"] == dict.fromkeys(PERCENTILES)
    # 800 pooled requests: 80 lie beyond p90, 40 beyond p95, only 8 beyond p99.
    gated = {name: value is not None for name, value in steady["delivery_latency_ms"].items()}
    assert gated == {"p50": True, "p90": True, "p95": True, "p99": False, "p999": False}


def test_json_has_the_pooled_percentile_and_not_the_mean_of_the_repeats(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY], rounds=2, requests=1_000))
    (cell,) = as_json(run)["cells"]
    for round_ in (1, 2):
        path = run / f"cells/steady-c1/{round_}/result.json"
        result = json.loads(path.read_text())
        result["delivery_latency_ms"]["p50"] *= round_
        path.write_text(json.dumps(result))
    (after,) = as_json(run)["cells"]
    assert after["delivery_latency_ms"]["p50"] == cell["delivery_latency_ms"]["p50"]


def test_markdown_says_the_finding_first_then_the_account_then_the_cells(tmp_path: Path) -> None:
    text = markdown(write(tmp_path, Plan([DRAIN, STEADY], rounds=2, lost={("drain-c4", 2): 12}, requests=400)))
    order = [
        "**FAILED: 12 of ",
        "- FINDING: drain-c4 round 2: 12 accepted and then lost",
        " accepted + 0 rejected + 0 in doubt + 0 unsent",
        " + 12 lost",
        "| cell | events/s |",
        "| drain-c4 | ",
        "| steady-c1 | ",
        "Again: `./tidemark bench quick",
    ]
    places = [text.find(words) for words in order]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("rounds", [0, 1])
def test_markdown_rows_have_as_many_columns_as_the_head(tmp_path: Path, rounds: int) -> None:
    lines = markdown(write(tmp_path, Plan([DRAIN, STEADY], rounds=rounds, requests=40))).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 * 4
    assert len({line.count("|") for line in table[:4]}) == len({line.count("|") for line in table[4:]}) == 1

"""What counts in a cell: valid repeats only, pooled durations, percentiles with requests enough beyond them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundle import reading
from reports.cells import cells
from tests.unit.reports.made_bundle import Cell, Plan, write

DRAIN = Cell("drain-c4", "drain", {"consumers": 4, "partitions": 1})
STEADY = Cell("steady-c1", "steady", {"consumers": 1})


def views(run: Path) -> dict[str, cells.Cell]:
    return {cell.plan.id: cell for cell in cells.summarise(reading.load(run))}


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_void_attempts_are_counted_and_count_for_nothing_else(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([DRAIN], void={("drain-c4", 2): 1}))
    edit(run / "cells/drain-c4/2/result.json", lambda r: r.update(throughput_events_per_s=1e9))
    cell = views(run)["drain-c4"]
    assert (len(cell.attempts), len(cell.valid), cell.void_attempts) == (4, 3, 1)
    assert cell.throughput is not None
    assert cell.throughput.n == 3
    assert cell.throughput.mean < 1e6


def test_consumers_without_a_partition_are_idle(tmp_path: Path) -> None:
    assert views(write(tmp_path, Plan([DRAIN], rounds=1)))["drain-c4"].idle_consumers == 1


def test_a_percentile_is_gated_by_the_requests_of_all_valid_repeats_together(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY], rounds=2, requests=400))
    cell = views(run)["steady-c1"]
    assert cell.requests == 800
    assert cell.pooled["delivery_latency"].total == 800 * 20  # events; those of one request are one sample
    assert cell.percentile("delivery_latency", 0.9) is not None
    assert cell.percentile("delivery_latency", 0.99) is None
    one_more = views(write(tmp_path, Plan([STEADY], rounds=3, requests=400), "more"))["steady-c1"]
    assert one_more.percentile("delivery_latency", 0.99) is not None


def test_few_requests_with_many_slow_events_gate_too(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY], rounds=2, requests=2_000))
    assert views(run)["steady-c1"].percentile("delivery_latency", 0.99) is not None
    for round_ in (1, 2):
        beyond = {"p50": 900, "p90": 150, "p95": 80, "p99": 4, "p999": 1}
        edit(
            run / f"cells/steady-c1/{round_}/result.json",
            lambda r, b=beyond: r["delivery_latency_ms"].update(requests_beyond=b),
        )
    cell = views(run)["steady-c1"]
    assert cell.percentile("delivery_latency", 0.9) is not None
    assert cell.percentile("delivery_latency", 0.99) is None
    assert cell.percentile("response_time", 0.99) is not None


def test_a_percentile_of_which_an_older_run_says_nothing_is_as_sure_as_the_next_that_is_known(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY], rounds=2, requests=2_000))
    for few in (4, 40):
        beyond = {"p50": 900, "p90": 150, "p99": few, "p999": 1}
        for path in run.glob("cells/*/*/result.json"):
            edit(path, lambda r, b=beyond: r["delivery_latency_ms"].update(requests_beyond=b))
        assert (views(run)["steady-c1"].percentile("delivery_latency", 0.95) is not None) is (few > 10)
        assert views(run)["steady-c1"].percentile("delivery_latency", 0.9) is not None


def test_means_weigh_by_the_events_stored(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY], rounds=2))
    for round_, mean, rate in ((1, 10.0, 1_000.0), (2, 20.0, 3_000.0)):
        path = run / f"cells/steady-c1/{round_}/result.json"
        edit(path, lambda r, rate=rate: r.update(throughput_events_per_s=rate))
        edit(path, lambda r, mean=mean: r["stages_ms"]["write"].update(mean=mean))
    assert views(run)["steady-c1"].stages_ms["write"] == pytest.approx(17.5)


def test_a_missing_histogram_log_is_noted(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY], rounds=2))
    (run / "cells/steady-c1/1/latency.hlog").unlink()
    (note,) = views(run)["steady-c1"].notes
    assert "steady-c1 round 1: latency.hlog is missing" in note


def test_a_damaged_histogram_log_is_noted_with_its_line_and_the_others_count(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([STEADY], rounds=2, requests=500))
    path = run / "cells/steady-c1/1/latency.hlog"
    path.write_text(path.read_text() + "Tag=response_time,3.000,10.000,1.000,HISTnonsense\n")
    cell = views(run)["steady-c1"]
    (note,) = cell.notes
    assert "steady-c1 round 1: its durations are not in the percentiles" in note
    assert f"line {len(path.read_text().splitlines())}" in note
    assert cell.pooled["delivery_latency"].total == 500 * 20


def test_a_repeat_that_stored_nothing_leaves_no_geometric_mean(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([DRAIN], rounds=2))
    edit(run / "cells/drain-c4/1/result.json", lambda r: r.update(throughput_events_per_s=0.0))
    assert views(run)["drain-c4"].throughput is None


class TestCapacityCells:
    """Probes are of different loads: those at the load of the answer count."""

    PROBES = (("climb", 4_000.0, True), ("climb", 16_000.0, False), ("bisection", 8_000.0, True))
    CONFIRMED = (*PROBES, ("confirmation", 8_000.0, True), ("confirmation", 8_000.0, True))
    ANSWER = (8_000.0, 7_500.0, 9_000.0)

    def test_figures_come_from_all_valid_probes_at_the_answers_load(self, tmp_path: Path) -> None:
        run = write(tmp_path, Plan([Cell("cap", "capacity", {}, self.CONFIRMED, self.ANSWER)], requests=400))
        cell = views(run)["cap"]
        assert (len(cell.attempts), len(cell.valid), len(cell.counted)) == (5, 5, 3)
        assert cell.throughput is not None
        assert (cell.throughput.n, cell.throughput.mean) == (3, pytest.approx(7_992))
        assert cell.offered_load == 8_000
        assert cell.pooled["delivery_latency"].total == 3 * 400 * 20
        assert cell.requests == 1200
        assert cell.capacity is not None

    def test_the_audit_is_of_every_valid_probe(self, tmp_path: Path) -> None:
        run = write(tmp_path, Plan([Cell("cap", "capacity", {}, self.CONFIRMED, self.ANSWER)], requests=400))
        accepted = sum(repeat.result.audit.accepted for repeat in reading.load(run).repeats if repeat.result.audit)
        assert views(run)["cap"].audit.accepted == accepted > 0

    def test_without_an_answer_there_are_no_figures(self, tmp_path: Path) -> None:
        cell = views(write(tmp_path, Plan([Cell("cap", "capacity", {}, self.PROBES)], requests=400)))["cap"]
        assert (len(cell.valid), cell.counted, cell.throughput, cell.pooled, cell.capacity) == (3, (), None, {}, None)

"""A run with the loads of an earlier one, on real servers, and the comparison of the two."""

from __future__ import annotations

import json

import pytest

MATRIX = """
name = "loads"
rounds = 2
[bounds]
disturbed_share = 1.0
schedule_delay_p99_ms = 5_000
drain_window_s = 1
[[cells]]
kind = "drain"
fixed = { partitions = 1, consumers = 1 }
events = 20_000
[[cells]]
kind = "steady"
fixed = { partitions = 1, consumers = 1 }
warmup_s = 1
duration_s = 6
offered_load = { share_of_drain = 0.05, at_least = 200 }
"""


@pytest.mark.slow
def test_a_run_offers_the_loads_of_its_baseline_and_the_two_can_be_compared(runs) -> None:
    folder = runs.folder / "runs"
    file = runs.matrix(MATRIX)
    runs.run("run", file, "--out", str(folder))
    (base,) = folder.iterdir()
    runs.run("run", file, "--out", str(folder), "--baseline", base.name)
    (new,) = set(folder.iterdir()) - {base}
    taken = json.loads((new / "manifest.json").read_text())["baseline"]
    assert taken["run_id"] == base.name
    loads = {
        json.loads(result.read_text())["offered_load_events_per_s"]
        for run in (base, new)
        for result in run.glob("cells/steady-*/*/result.json")
    }
    assert len(loads) == 1, runs.output
    assert set(taken["loads"].values()) >= loads
    runs.run("compare", str(base), str(new))
    assert "NEW with the loads of BASE" in runs.output
    assert "the offered loads are not the same" not in runs.output

"""The witness on real servers: it agrees with a worker that tells the truth, and catches one that does not."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.evidence import sightings
from bench.judge import derive
from bench.run import repeat
from bench.run.progress import Display
from bench.run.repeat import CollectedRepeat
from bench.run.repeatspec import RepeatSpec
from bundle import writing
from pipeline.settings import Kafka, Mongo, Settings
from traffic.identity import WITNESS_STREAM
from traffic.ledger import Outcome
from traffic.spec import Traffic

MS = 1_000_000
AHEAD_MS = 500
CELL = CellSpec(id="steady-p1-c1", kind="steady", partitions=1, warmup_s=1.0, duration_s=3.0, offered_load=500.0)
# As a worker's clock that is ahead would stamp: nothing that the load itself knows contradicts it.
FAULT = f"""
import sys
if "worker" in sys.orig_argv:
    from bench.recorder.deliverieslog import DeliveriesLog
    events = DeliveriesLog.events
    def ahead(self, fetched_ns, acknowledged_ns, *what):
        events(self, fetched_ns + {AHEAD_MS * MS}, acknowledged_ns + {AHEAD_MS * MS}, *what)
    DeliveriesLog.events = ahead
"""


@pytest.fixture
def to_run(servers) -> RepeatSpec:
    settings = Settings(
        kafka=Kafka(bootstrap_servers=servers.kafka_bootstrap_servers), mongo=Mongo(uri=servers.mongo_uri)
    )
    return RepeatSpec(
        identity=derive.RepeatIdentity(CELL, 1, 1, 21, writing.now(), 500.0),
        name=f"t{secrets.token_hex(6)}",
        settings=settings,
        server_pids={},
        traffic=Traffic(),
        seed=1,
        bounds=Bounds(),
        objective=Objective(),
    )


def measure(to_run: RepeatSpec, folder: Path) -> CollectedRepeat:
    (folder / "logs").mkdir(parents=True)
    with (folder / "display.txt").open("w") as shown, Display(Console(file=shown)) as display:
        return asyncio.run(repeat.measure(to_run, folder, display))


def of_clocks(reasons: list[str]) -> list[str]:
    """Those of the clocks and the witness; on a busy machine there may be others."""
    return [each for each in reasons if each.startswith(("clocks:", "witness:", "stages:", "accounting:"))]


def test_the_witness_agrees_and_its_events_are_audited_as_all_others(to_run: RepeatSpec, tmp_path: Path) -> None:
    measured = measure(to_run, tmp_path / "repeat")
    result = repeat.judge(to_run, measured)
    assert of_clocks(result.reasons) == []
    assert result.negative_durations == {}
    assert result.witness is not None
    assert (result.witness.events, result.witness.disagreeing) == (12, 0)
    evidence = measured.evidence
    rows = evidence.audited.rows[evidence.audited.rows["stream"] == WITNESS_STREAM]
    assert rows["intended"].tolist() == sightings.due_ns(to_run.load_spec).tolist()
    assert (rows["outcome"] == Outcome.ACCEPTED).all()
    audit = result.audit
    assert audit.offered == audit.stored_accepted == audit.compared == evidence.offered.events + len(rows)
    assert (audit.differing, audit.foreign, audit.lost) == (0, 0, 0)
    assert set(np.unique(evidence.offered.rows["stream"])) == {0}
    assert result.cpu_s_per_role["witness"] > 0

    ahead = evidence.deliveries.rows.copy()
    ahead["acknowledged_ns"] += AHEAD_MS * MS
    late = replace(measured, evidence=replace(evidence, deliveries=replace(evidence.deliveries, rows=ahead)))
    (reason,) = of_clocks(repeat.judge(to_run, late).reasons)
    assert "its stamps are late" in reason
    ahead["fetched_ns"] += AHEAD_MS * MS
    shifted = repeat.judge(to_run, replace(measured, evidence=replace(late.evidence, clock=evidence.clock)))
    assert "the worker's clock, or its log, is ahead" in shifted.reasons[-2]


@pytest.mark.slow
def test_a_worker_whose_stamps_are_ahead_is_caught_by_the_witness_alone(
    to_run: RepeatSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "sitecustomize.py").write_text(FAULT)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'faults'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    result = repeat.judge(to_run, measure(to_run, tmp_path / "repeat"))
    assert not result.valid
    assert set(result.negative_durations) == {"fetched_to_seen"}
    assert result.witness is not None
    assert result.witness.disagreeing > 0
    assert 0 < result.witness.beyond_max_ms < AHEAD_MS
    reason = of_clocks(result.reasons)[0]
    assert "read by the witness before the worker's log says that they were fetched" in reason
    assert "the worker's clock, or its log, is ahead" in reason

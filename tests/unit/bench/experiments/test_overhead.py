"""What of a repeat is its own overhead."""

from __future__ import annotations

import pytest

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.judge.derive import RepeatIdentity
from bench.kinds.drain import DrainCell
from bench.run.repeat import _overhead_s
from bench.run.repeatspec import RepeatSpec
from bundle.result import Result, Window
from pipeline.settings import Settings
from traffic.spec import Traffic

DRAIN = DrainCell(id="drain-p1-c1")
STEADY = CellSpec(id="steady-p1-c1", kind="steady", warmup_s=2, duration_s=8, offered_load=100.0)
PHASES_S = {"topics": 0.5, "start": 1.0, "preload": 2.0, "join": 0.5, "drain": 3.0, "stop": 0.5, "audit": 1.0}


def repeat_of(cell: CellSpec) -> RepeatSpec:
    identity = RepeatIdentity(cell, 1, 1, 3, "2026-11-22T10:00:00Z", None)
    return RepeatSpec(identity, "r", Settings(), {}, Traffic(), 1, Bounds(), Objective())


def result_of(cell: CellSpec, window: Window) -> Result:
    identity = {"cell": cell.id, "kind": cell.kind, "axes": {}, "round": 1, "attempt": 1, "run_number": 3}
    return Result(**identity, started_at="", valid=True, reasons=[], findings=[], window=window)


def test_of_a_drain_all_but_preload_draining_and_audit_is_overhead() -> None:
    found = _overhead_s(repeat_of(DRAIN), result_of(DRAIN, Window(4.0, 6.0)), PHASES_S, whole_s=9.0)
    assert found == pytest.approx(9.0 - 2.0 - 3.0 - 1.0)


def test_of_a_load_the_warm_up_and_what_was_measured_are_none() -> None:
    phases_s = {"start": 3.0, "load": 12.0, "drain": 0.5, "audit": 1.0}
    found = _overhead_s(repeat_of(STEADY), result_of(STEADY, Window(2.0, 10.0)), phases_s, whole_s=17.0)
    assert found == pytest.approx(17.0 - 10.0 - 0.5 - 1.0)

"""What a repeat offers follows from its cell."""

from __future__ import annotations

from typing import Any

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.judge.derive import RepeatIdentity
from bench.kinds.drain import EVEN_MIX
from bench.run.repeatspec import RepeatSpec
from pipeline.settings import Settings
from traffic.spec import LoadSpec, Traffic


def offered(kind: Any, **axes: Any) -> LoadSpec:
    cell = CellSpec(id="c", kind=kind, **axes)
    identity = RepeatIdentity(cell, 1, 1, 3, "2026-11-22T21:00:00Z", 100.0)
    return RepeatSpec(identity, "r", Settings(), {}, Traffic(visitor_share=0.2), 1, Bounds(), Objective()).load_spec


def test_the_share_of_single_events_is_the_cell_s() -> None:
    assert offered("steady", visitor_share=1.0).traffic.visitor_share == 1.0
    assert offered("capacity", visitor_share=0.0).traffic.visitor_share == 0.0


def test_a_drain_has_all_topics_alike_and_no_share_of_single_events_of_its_own() -> None:
    made = offered("drain", visitor_share=1.0)
    assert (made.traffic.event_mix, made.traffic.visitor_share) == (EVEN_MIX, 0.2)

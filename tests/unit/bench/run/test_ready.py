"""What is made ready ahead is the very repeat that comes next, or it is gone before that begins."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, cast

import pytest

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.errors import RepeatError
from bench.judge.derive import RepeatIdentity
from bench.run import ready
from bench.run.phases import Phases
from bench.run.progress import Display
from bench.run.ready import Ahead, Ready
from bench.run.repeatspec import RepeatSpec
from pipeline.settings import Settings
from traffic.spec import Traffic

CELL = CellSpec(id="steady-p1-c1", kind="steady", offered_load=100.0)


def repeat_of(name: str, load: float = 100.0) -> RepeatSpec:
    identity = RepeatIdentity(CELL, 1, 1, 3, "2026-11-22T10:00:00Z", load)
    return RepeatSpec(identity, name, Settings(), {}, Traffic(), 1, Bounds(), Objective())


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Making ready is only noted: what it does takes servers, and is tested with them."""
    happened: list[str] = []

    async def prepare(repeat: RepeatSpec, folder: Path, phases: Phases) -> Ready:
        held = contextlib.AsyncExitStack()
        held.callback(happened.append, f"{repeat.name} ended")
        async with held:
            with phases.phase("start"):
                await asyncio.sleep(0.01)
            if repeat.name == "broken":
                raise RepeatError("it cannot be made ready")
            happened.append(f"{repeat.name} ready")
            none = cast("Any", None)  # nothing of it is looked at here
            return Ready(repeat, folder, phases, none, none, none, none, none, held.pop_all())

    monkeypatch.setattr(ready, "prepare", prepare)
    return happened


def taken(before: RepeatSpec, then: RepeatSpec, *, after_s: float = 0.0) -> Ready | None:
    async def both() -> Ready | None:
        ahead = Ahead()
        ahead.begin(before, Path(), Display(plain=True))
        await asyncio.sleep(after_s)
        try:
            return await ahead.take(then)
        finally:
            await ahead.drop()

    return asyncio.run(both())


def test_what_comes_next_is_taken_and_only_what_was_waited_for_it_counts(log: list[str]) -> None:
    found = taken(repeat_of("a"), repeat_of("a"), after_s=0.2)
    assert found is not None
    assert log == ["a ready"]
    assert found.phases.shown
    assert list(found.phases.phase_s) == ["start"]


@pytest.mark.parametrize("other", [repeat_of("b"), repeat_of("a", load=200.0)], ids=["attempt", "load"])
@pytest.mark.parametrize(("after_s", "left"), [(0.2, ["a ready", "a ended"]), (0.0, ["a ended"])])
def test_another_repeat_or_load_is_not_taken_and_nothing_is_left_of_it(
    log: list[str], other: RepeatSpec, after_s: float, left: list[str]
) -> None:
    assert taken(repeat_of("a"), other, after_s=after_s) is None
    assert log == left


def test_what_cannot_be_made_ready_fails_where_it_is_taken(log: list[str]) -> None:
    with pytest.raises(RepeatError):
        taken(repeat_of("broken"), repeat_of("broken"))
    assert log == ["broken ended"]

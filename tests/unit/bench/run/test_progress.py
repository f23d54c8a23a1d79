"""The progress display, on a terminal and without one."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from bench.evidence.leftovers import GroupPosition, GroupWatch
from bench.matrix import matrix
from bench.run import plan, progress
from bench.run.phases import Phases
from bench.run.plan import PlannedRepeat
from bench.run.progress import Display
from bundle.result import Audit, Percentiles, Result
from traffic.spec import LoadSpec

ORDER = plan.order(matrix.load(Path(__file__).parents[2] / "data" / "grid.toml"))


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Screen:
    """A display with what it wrote, and a clock that the test moves."""

    def __init__(self, *, terminal: bool, plain: bool = False, height: int = 40) -> None:
        self.clock = Clock()
        self.written = io.StringIO()
        kind = {"TERM": "xterm"}  # whatever this test runs on
        console = Console(
            file=self.written, force_terminal=terminal, width=120, height=height, highlight=False, _environ=kind
        )
        self.display = Display(console, plain=plain, clock=self.clock)

    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.written.getvalue())

    def shown(self) -> str:
        console = Console(file=io.StringIO(), width=120, height=40)
        console.print(self.display)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()


def result_of(
    planned: PlannedRepeat, *, findings: tuple[str, ...] = (), valid: bool = True, attempt: int = 1
) -> Result:
    return Result(
        cell=planned.cell.id,
        kind=planned.cell.kind,
        axes={},
        round=planned.round,
        attempt=attempt,
        run_number=1,
        started_at="2026-11-22T10:00:00Z",
        valid=valid,
        reasons=[] if valid else ["schedule delay p99 was 14.2 ms"],
        findings=list(findings),
        throughput_events_per_s=41_234.0,
        delivery_latency_ms=Percentiles(p99=33.4) if planned.cell.kind == "steady" else None,
        audit=Audit(accepted=1_000, stored_accepted=998),
    )


def left_of(order: Sequence[PlannedRepeat]) -> str:
    """How long these are expected to take, in words."""
    return plan.duration(plan.expected_s(order))


class Group:
    """A group whose position is made up: how far it is, is all that is asked."""

    async def position(self) -> GroupPosition:
        return GroupPosition(written=700, committed=600)


@pytest.mark.parametrize("load", [None, LoadSpec(offered_load_events_per_s=1.0, duration_s=1.0)])
def test_never_more_events_are_shown_as_accepted_than_as_offered(load: LoadSpec | None) -> None:
    """Arrivals are uneven, and the witness sends too: more may be accepted than are due at the mean rate."""
    screen = Screen(terminal=False)
    screen.display.begin(ORDER)
    screen.display.repeat_started(ORDER[0])
    asyncio.run(Phases(screen.display).look(cast("GroupWatch", Group()), load))
    assert "offered 700  accepted 700  stored 600" in screen.text()


def test_without_a_terminal_each_repeat_is_two_plain_lines() -> None:
    screen = Screen(terminal=False)
    with screen.display as display:
        display.begin(ORDER, (), Path("runs/one"))
        display.repeat_started(ORDER[0])
        screen.clock.now_s += 13
        display.repeat_finished(ORDER[0], result_of(ORDER[0]))
    lines = screen.text().splitlines()
    assert lines[0].startswith(f"30 repeats; about {left_of(ORDER)} to go")
    assert lines[0].endswith("into runs/one")
    assert lines[1] == f"[0/30] drain-p3-c4, round 1: begins; about {left_of(ORDER)} left"
    assert lines[2] == "[1/30] drain-p3-c4, round 1: 41,234 events/s, nothing lost (13 s)"
    assert "\x1b" not in screen.written.getvalue()


@pytest.mark.parametrize("plain", [True, False])
def test_live_counts_are_plain_lines_at_most_every_few_seconds(plain: bool) -> None:  # noqa: FBT001 - pytest's way
    screen = Screen(terminal=plain, plain=plain)
    screen.display.begin(ORDER)
    screen.display.repeat_started(ORDER[0])
    screen.display.phase("drain")
    for tick in range(120):
        screen.display.live(5_000, 5_000, 100 * tick, 5_000 - 100 * tick)
        screen.clock.now_s += 0.1
    lines = [line for line in screen.text().splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    assert lines[0] == "    drain"
    assert re.fullmatch(
        r"    drain: offered 5,000  accepted 5,000  stored [\d,]+  backlog [-\d,]+  \(1,000 stored/s\)", lines[1]
    )
    assert "\x1b" not in screen.written.getvalue()


def test_on_a_terminal_the_display_has_cells_counts_and_time_left() -> None:
    screen = Screen(terminal=True)
    with screen.display as display:
        display.begin(ORDER)
        display.repeat_started(ORDER[0])
        display.phase("drain")
        display.live(120_000, 120_000, 43_210, 76_790)
        screen.clock.now_s += 5
        shown = screen.shown()
        assert "\x1b" in screen.written.getvalue()
    for cell in {planned.cell.id for planned in ORDER}:
        assert f"{cell} " in shown
    assert "drain-p3-c4, round 1: drain (5 s)" in shown
    assert "offered 120,000  accepted 120,000  stored 43,210  backlog 76,790" in shown
    assert "0 of 30 repeats, 30 to come, about " in shown


def test_the_row_of_a_cell_has_a_mark_for_each_round() -> None:
    screen = Screen(terminal=False)
    of_cell = [planned for planned in ORDER if planned.cell.id == "drain-p1-c2"]
    screen.display.begin(ORDER)
    for planned, result in zip(
        of_cell, (result_of(of_cell[0]), result_of(of_cell[1], findings=("lost: 2",))), strict=False
    ):
        screen.display.repeat_started(planned)
        screen.display.repeat_finished(planned, result)
    screen.display.repeat_started(of_cell[2])
    assert re.search(r"drain-p1-c2 +●✗◐  41,234 events/s, 1 finding", screen.shown())


def test_findings_and_void_repeats_are_shown_at_once_and_stay() -> None:
    screen = Screen(terminal=True)
    with screen.display as display:
        display.begin(ORDER)
        display.repeat_started(ORDER[0])
        display.repeat_finished(ORDER[0], result_of(ORDER[0], valid=False))
        display.repeat_started(ORDER[0])
        display.repeat_finished(ORDER[0], result_of(ORDER[0], findings=("lost: 3 events",), attempt=2))
    assert "void: drain-p3-c4, round 1, attempt 1: schedule delay p99 was 14.2 ms" in screen.text()
    assert "FINDING: drain-p3-c4, round 1: lost: 3 events" in screen.text()


def test_a_void_repeat_that_is_begun_again_is_to_come_again() -> None:
    screen = Screen(terminal=False)
    screen.display.begin(ORDER)
    screen.display.repeat_started(ORDER[0])
    screen.display.repeat_finished(ORDER[0], result_of(ORDER[0], valid=False))
    assert "1 of 30 repeats" in screen.shown()
    screen.display.repeat_started(ORDER[0])
    assert "0 of 30 repeats" in screen.shown()
    screen.display.repeat_finished(ORDER[0], result_of(ORDER[0], attempt=2))
    assert [(result.attempt, result.valid) for result in screen.display.results] == [(2, True)]


def test_what_a_void_repeat_saw_is_not_a_finding() -> None:
    screen = Screen(terminal=False)
    screen.display.begin(ORDER)
    screen.display.repeat_finished(ORDER[0], result_of(ORDER[0], findings=("lost: 3 events",), valid=False))
    assert "void: " in screen.text()
    assert "FINDING" not in screen.text()


def test_a_resumed_run_begins_with_what_is_finished() -> None:
    screen = Screen(terminal=False)
    screen.display.begin(ORDER, [result_of(planned) for planned in ORDER[:10]])
    assert f"30 repeats, 10 of them finished before; about {left_of(ORDER[10:])} to go" in screen.text()
    assert "10 of 30 repeats, 20 to come" in screen.shown()


def test_the_time_left_follows_what_repeats_took_and_the_running_one_s_age() -> None:
    screen = Screen(terminal=False)
    screen.display.begin(ORDER[:2])
    screen.display.repeat_started(ORDER[0])
    screen.clock.now_s += 40
    screen.display.repeat_finished(ORDER[0], result_of(ORDER[0]))
    screen.display.repeat_started(ORDER[1])
    assert "about 40 s left" in screen.shown()
    screen.clock.now_s += 15
    assert "about 25 s left" in screen.shown()
    screen.clock.now_s += 500
    assert "about 0 s left" in screen.shown()


def test_more_cells_than_the_screen_has_lines_are_shown_around_the_running_one() -> None:
    order = plan.order(matrix.load("full"))
    screen = Screen(terminal=False, height=20)
    screen.display.begin(order)
    running = next(planned for planned in order if planned.cell.id == "drain-p4-c4")
    screen.display.repeat_started(running)
    shown = screen.shown()
    assert len(shown.splitlines()) <= 20
    assert re.search(r"drain-p4-c4 +◐", shown)
    assert re.search(r"\d+ more cells", shown)


def test_a_screen_without_unicode_gets_plain_marks() -> None:
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=120)
    display = Display(console)
    display.begin(ORDER)
    assert display._marks == progress._ASCII

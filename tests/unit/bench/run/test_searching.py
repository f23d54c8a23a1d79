"""Searches of a session: where each begins, when they end, and the backlog that a drain gets beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from bench.cells.cellspec import CellSpec
from bench.kinds import naming
from bench.matrix import matrix
from bench.observe import environment
from bench.run import execution, manifest, plan, searching
from bench.run.plan import PlannedRepeat
from bench.run.progress import Display
from bench.search import capacity
from bench.search.search import SearchAnswer
from bundle import writing
from bundle.ceilings import BareLoop, Ceilings, Conditions
from bundle.interval import Interval
from bundle.result import Audit, Probe, Result, Window
from pipeline.settings import Settings

MATRIX = """
name = "mine"
rounds = 3
search_s = 100
[[cells]]
kind = "drain"
axes = { consumers = [1, 2] }
[[cells]]
kind = "capacity"
axes = { consumers = [1, 2] }
start_load = { share_of_drain = 0.4 }
"""
DRAIN_1, DRAIN_2, ONE, TWO = matrix.parse(MATRIX, "mine.toml").cells


STACKS = """
name = "mine"
search_s = 100
[[cells]]
kind = "capacity"
axes = { brokers = [1, 3], consumers = [1, 2] }
start_load = 10_000
"""


@pytest.fixture
def run(tmp_path: Path) -> execution.Run:
    return run_of(MATRIX, tmp_path)


def run_of(text: str, tmp_path: Path) -> execution.Run:
    wanted = matrix.parse(text, "mine.toml")
    into = writing.create(tmp_path, "mine")
    order = plan.order(wanted)
    here = environment.describe()
    here = structs.replace(here, hardware=structs.replace(here.hardware, cores=2))
    began = manifest.begin(
        wanted, order, run_id="mine", environment=here, servers="local", command="", started_at=writing.now()
    )
    return execution.Run(into, began, wanted, order, Display(plain=True), Settings(), local=True)


def ceilings_with(inserts_per_s: float) -> Ceilings:
    rates = {"consume-decoded": 350_000, "insert-1": inserts_per_s / 2, "insert-2": inserts_per_s}
    return Ceilings(
        fingerprint="",
        measured_at="",
        took_s=1.0,
        rounds=1,
        seed=1,
        servers="local",
        conditions=Conditions(
            payload_bytes=0,
            visitor_share=0.1,
            partitions=4,
            write_concern="majority",
            journal=True,
            driver="motor",
            acks="all",
            compression="none",
        ),
        disturbance=None,
        loops=[
            BareLoop(name=name, words="", events_per_s=Interval(1, rate), cpu_s_per_100k_events={}, repeats=[])
            for name, rate in rates.items()
        ],
    )


def keep(run: execution.Run, result: Result) -> None:
    folder = run.bundle.start_repeat(result.cell, result.round, result.attempt)
    run.bundle.finish_repeat(folder, result)


def drained(cell: CellSpec, rate: float, *, window_s: float = 6.0, number: int = 1, valid: bool = True) -> Result:
    return Result(
        cell=cell.id,
        kind="drain",
        axes=naming.axes_of(cell),
        round=number,
        attempt=1,
        run_number=1,
        started_at="",
        valid=valid,
        reasons=[] if valid else ["window: it lasted"],
        findings=[],
        window=Window(1.0, 1.0 + window_s),
        throughput_events_per_s=rate,
        audit=Audit(offered=300_000),
    )


def probed(
    cell: CellSpec, load: float, number: int, *, verdict: str, stored: float | None = None, took_s: float = 20.0
) -> Result:
    return Result(
        cell=cell.id,
        kind="capacity",
        axes=naming.axes_of(cell),
        round=number,
        attempt=1,
        run_number=1,
        started_at="",
        valid=True,
        reasons=[],
        findings=[],
        offered_load_events_per_s=load,
        throughput_events_per_s=stored or load,
        cpu_cores_per_role={"mongodb": 0.6, "worker": 0.4},
        probe=Probe("climb", verdict, verdict == "sustained", 0.0, 0.0, 1.0, []),
        duration_s={"load": took_s, "overhead": 3.0},
    )


def test_a_search_begins_at_a_share_of_its_own_drain(run: execution.Run) -> None:
    keep(run, drained(DRAIN_1, 40_000))
    keep(run, drained(DRAIN_2, 60_000))
    assert searching.first_load(ONE, [run]) == 16_000
    assert searching.first_load(TWO, [run]) == 24_000


def test_a_search_begins_where_the_search_beside_it_points(run: execution.Run) -> None:
    keep(run, drained(DRAIN_1, 40_000))
    keep(run, drained(DRAIN_2, 60_000))
    keep(run, probed(ONE, 30_000, 1, verdict="not sustained", stored=28_000))
    assert searching.first_load(TWO, [run]) == pytest.approx(0.9 * 28_000 / 40_000 * 60_000, abs=1)


def test_without_a_valid_drain_a_search_begins_at_the_least_load(run: execution.Run) -> None:
    keep(run, drained(DRAIN_1, 40_000, valid=False))
    assert searching.first_load(ONE, [run]) == 1_000


def test_a_search_ends_with_what_it_has_when_the_time_for_searching_is_used_up(run: execution.Run) -> None:
    turn = next(each for each in run.order if each.cell.id == ONE.id)
    for number, load in enumerate((10_000, 12_500, 10_000), 1):
        assert not isinstance(searching.step_of((run, turn), [run]), SearchAnswer)
        verdict = "sustained" if load < 12_000 else "not sustained"
        keep(run, probed(ONE, load, number, verdict=verdict, took_s=30.0))
    answer = searching.step_of((run, turn), [run])
    assert isinstance(answer, SearchAnswer)
    assert answer.sustainable_events_per_s == 10_000
    assert "the 100 s for searching were used up" in answer.ended


def test_searches_on_another_stack_have_their_own_part_of_the_time_and_what_the_first_left(tmp_path: Path) -> None:
    run = run_of(STACKS, tmp_path)
    searches = [(run, planned) for planned in run.order]
    first = [turn for turn in searches if turn[1].cell.brokers == 1]
    second = [turn for turn in searches if turn[1].cell.brokers == 3]

    run.search_share = searching.share_of(first, searches)
    assert run.search_share == 0.5
    for number in (1, 2, 3):  # 39 s in all, and a fourth would take 13 s more: beyond 50 s
        keep(run, probed(first[0][1].cell, 10_000, number, verdict="not sustained", took_s=13.0))
    assert isinstance(searching.step_of(first[0], [run]), SearchAnswer)

    keep(run, probed(first[1][1].cell, 10_000, 1, verdict="not sustained", took_s=0.0))
    for turn in first:
        asked = capacity.SearchRequest(turn[1].cell, 10_000, 2)
        found = capacity.cut_short(asked, [], "the time was used up")
        run.bundle.write_capacity(capacity.conclude(turn[1].cell, run.matrix.objective_of(turn[1].cell), found, []))
    run.search_share = searching.share_of(second, searches)
    assert run.search_share == 1.0
    for number in (1, 2, 3):  # 78 s in all, and 91 s with a fourth: within 100 s
        keep(run, probed(second[0][1].cell, 10_000, number, verdict="not sustained", took_s=13.0))
    assert not isinstance(searching.step_of(second[0], [run]), SearchAnswer)


def test_a_search_gets_three_probes_even_without_time(run: execution.Run) -> None:
    turn = next(each for each in run.order if each.cell.id == ONE.id)
    for number in (1, 2):
        keep(run, probed(ONE, 10_000 * number, number, verdict="sustained", took_s=500.0))
        assert not isinstance(searching.step_of((run, turn), [run]), SearchAnswer)


def test_a_search_counts_its_steps_from_its_own_first_load(run: execution.Run) -> None:
    turn = next(each for each in run.order if each.cell.id == ONE.id)
    keep(run, drained(DRAIN_1, 40_000))
    keep(run, drained(DRAIN_2, 60_000))
    keep(run, probed(TWO, 2_000, 1, verdict="not sustained", stored=1_000, took_s=0.1))
    for number, load in enumerate((30_000, 24_000, 15_400, 7_700, 3_850), 1):
        keep(run, probed(ONE, load, number, verdict="not sustained", took_s=0.1))
    answer = searching.step_of((run, turn), [run])
    assert isinstance(answer, SearchAnswer)
    assert "not even 3,850 events/s" in answer.ended


def test_a_sustained_probe_points_to_where_the_cpu_would_be_used_up() -> None:
    asked = capacity.SearchRequest(structs.replace(ONE, resolution=0.05), 10_000, cores=2)
    step = capacity.next_step(
        asked, [probed(ONE, 10_000, 1, verdict="sustained")]
    )  # half of the CPU: 20,000 and no less
    assert isinstance(step, capacity.NextProbe)
    assert step.load_events_per_s == 18_000  # a tenth short of it
    busy = structs.replace(probed(ONE, 10_000, 1, verdict="sustained"), cpu_cores_per_role={"mongodb": 1.8})
    step = capacity.next_step(asked, [busy])
    assert isinstance(step, capacity.NextProbe)
    assert step.load_events_per_s == 10_500


def test_a_probe_that_was_too_much_points_to_what_it_stored() -> None:
    asked = capacity.SearchRequest(ONE, 20_000, cores=2)
    step = capacity.next_step(asked, [probed(ONE, 20_000, 1, verdict="not sustained", stored=14_000)])
    assert isinstance(step, capacity.NextProbe)
    assert step.load_events_per_s == 14_000


@pytest.mark.parametrize(
    ("windows_s", "events"),
    [((), 300_000), ((6.0,), 300_000), ((10.0, 8.0), 300_000), ((5.0, 7.0), 360_000), ((1.5,), 1_200_000)],
)
def test_the_backlog_of_all_drains_follows_from_the_shortest_window_of_round_1(
    run: execution.Run, windows_s: tuple[float, ...], events: int
) -> None:
    for cell, window_s in zip((DRAIN_1, DRAIN_2), windows_s, strict=False):
        keep(run, drained(cell, 50_000, window_s=window_s))
    assert [execution.offer(PlannedRepeat(cell, 1), [run]).backlog_events for cell in (DRAIN_1, DRAIN_2)] == [
        events,
        events,
    ]


@pytest.mark.parametrize(("inserts_per_s", "events"), [(20_000, 300_000), (80_000, 480_000)])
def test_before_the_first_drain_the_backlog_follows_from_the_bare_inserts(
    run: execution.Run, inserts_per_s: float, events: int
) -> None:
    run.bundle.write_ceilings(ceilings_with(inserts_per_s))
    assert execution.offer(PlannedRepeat(DRAIN_1, 1), [run]).backlog_events == events


def test_after_round_1_only_a_window_that_is_too_short_changes_the_backlog(run: execution.Run) -> None:
    keep(run, drained(DRAIN_1, 50_000, window_s=6.0))
    keep(run, drained(DRAIN_1, 50_000, window_s=5.5, number=2))
    assert execution.offer(PlannedRepeat(DRAIN_1, 1), [run]).backlog_events == 300_000
    keep(run, drained(DRAIN_1, 50_000, window_s=4.5, number=3))
    assert execution.offer(PlannedRepeat(DRAIN_1, 1), [run]).backlog_events == 400_000


def test_only_a_folder_of_its_own_that_was_begun_is_dropped(run: execution.Run, tmp_path: Path) -> None:
    begun = run.bundle.start_repeat(ONE.id, 4, 1)
    keep(run, probed(ONE, 10_000, 1, verdict="sustained"))
    kept = run.bundle.path / "cells" / ONE.id / "1"
    for folder in (begun, kept, run.bundle.path, tmp_path, Path()):
        run.bundle.drop_repeat(folder)
    assert [begun.exists(), kept.exists(), tmp_path.exists(), Path("tests").exists()] == [False, True, True, True]

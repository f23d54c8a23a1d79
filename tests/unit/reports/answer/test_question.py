"""One varied axis is a question, and the first line of the report answers it over paired rounds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bundle import reading
from reports.answer import answer, question, verdict
from reports.cells import cells
from tests.unit.reports.made_bundle import Cell, Plan, write
from tests.unit.reports.made_pair import rewrite

SMALL, LARGE = (Cell(f"drain-batch{size}", "drain", {"batch_max_events": size}) for size in (500, 2000))


def drained(
    folder: Path, speeds: dict[int, float], *, rounds: int = 10, noise: float = 0.02, drift: float = 0.0, **plan: object
) -> Path:
    """A run that drained with batches of these sizes, each so many times as fast; ``drift``: a round, of all."""
    made = [Cell(f"drain-batch{size}", "drain", {"batch_max_events": size}) for size in speeds]
    run = write(folder, Plan(made, rounds=rounds, **plan))  # type: ignore[arg-type]
    rng = np.random.default_rng(3)
    for size, speed in speeds.items():
        for number in range(1, rounds + 1):
            rate = 40_000 * speed * math.exp(drift * number + rng.normal(0, noise))
            file = run / f"cells/drain-batch{size}/{number}/result.json"
            rewrite(file, lambda result, rate=rate: result.update(throughput_events_per_s=rate))
    return run


def asked(run: Path) -> str | None:
    read = reading.load(run)
    return question.answer(read, cells.summarise(read))


def first_line(run: Path) -> str:
    read = reading.load(run)
    return verdict.decide(read, cells.summarise(read)).sentence


def test_the_better_of_two_values_is_named_with_how_much_it_brings(tmp_path: Path) -> None:
    said = first_line(drained(tmp_path, {500: 1.0, 2000: 1.12}))
    assert said.startswith("Batch 2,000 stores 1")
    assert "% more than 500 (" in said
    assert said.endswith("10 paired rounds); 0 of 2,400,000 events lost.")


def test_rounds_are_paired_so_that_a_drift_of_the_machine_hides_nothing(tmp_path: Path) -> None:
    assert "Batch 2,000 stores" in first_line(drained(tmp_path, {500: 1.0, 2000: 1.1}, drift=0.2))


def test_cannot_tell_names_the_rounds_that_would_decide(tmp_path: Path) -> None:
    said = asked(drained(tmp_path, {500: 1.0, 2000: 1.3}, rounds=3))
    assert said is not None
    assert said.startswith("cannot tell batch 2,000 from 500 by throughput: ratio 1.2")
    assert "3 paired rounds); " in said
    assert said.endswith(" rounds would show 10%")


def test_one_round_shows_no_difference(tmp_path: Path) -> None:
    said = asked(drained(tmp_path, {500: 1.0, 2000: 1.3}, rounds=1))
    assert said == "cannot tell batch 2,000 from 500 by throughput: one round alone shows no difference"


def test_values_that_are_alike_are_said_to_be_so(tmp_path: Path) -> None:
    said = asked(drained(tmp_path, {500: 1.0, 2000: 1.0}, noise=0.002))
    assert said == "batch 500 or 2,000: no difference beyond 3% in throughput (10 paired rounds)"


def test_of_three_the_best_is_held_against_the_next(tmp_path: Path) -> None:
    said = asked(drained(tmp_path, {500: 1.0, 1000: 1.4, 2000: 1.2}, rounds=12))
    assert said is not None
    assert said.startswith("batch 1,000 stores 1")
    assert "more than the next, 2,000 (" in said
    close = asked(drained(tmp_path / "close", {500: 1.0, 1000: 1.4, 2000: 1.395}, rounds=12))
    assert close is not None
    assert close.startswith(("cannot tell batch 1,000 from 2,000", "cannot tell batch 2,000 from 1,000"))


def test_of_a_steady_load_the_durations_are_compared(tmp_path: Path) -> None:
    made = [Cell(f"s{n}", "steady", {"linger_ms": n, "offered_load": 9_000.0}) for n in (0, 20)]
    run = write(tmp_path, Plan(made, rounds=10, requests=1_200))
    rng = np.random.default_rng(5)
    for name, p99 in (("s0", 200.0), ("s20", 100.0)):
        for file in run.glob(f"cells/{name}/*/result.json"):
            value = p99 * math.exp(rng.normal(0, 0.03))
            rewrite(file, lambda result, value=value: result["delivery_latency_ms"].update(p99=value))
    said = asked(run)
    assert said is not None
    assert said.startswith("delivery latency p99 is 51% lower with linger 20 ms than with 0 (49% to 52%, ")


def test_of_searches_what_their_probes_leave_plausible_is_compared(tmp_path: Path) -> None:
    probes = (("climb", 10_000.0, True),)
    made = [
        Cell(f"capacity-c{n}", "capacity", {"consumers": n}, probes, (load, 0.95 * load, 1.05 * load))
        for n, load in ((1, 10_000.0), (2, 15_000.0))
    ]
    said = asked(write(tmp_path, Plan(made, requests=50)))
    assert said == "2 consumers hold 50% more than 1 (40% to 61%, one search each)"


def test_a_matrix_that_varies_two_axes_or_the_load_alone_asks_no_such_question(tmp_path: Path) -> None:
    two = [Cell(f"d{p}{c}", "drain", {"partitions": p, "consumers": c}) for p in (1, 2) for c in (1, 2)]
    assert asked(write(tmp_path / "two", Plan(two, rounds=2))) is None
    loads = [Cell(f"s{load}", "steady", {"offered_load": load}) for load in (1_000.0, 2_000.0)]
    assert asked(write(tmp_path / "loads", Plan(loads, rounds=2, requests=50))) is None
    assert asked(write(tmp_path / "one", Plan([SMALL], rounds=2))) is None


def test_a_value_without_a_valid_repeat_leaves_the_question_open(tmp_path: Path) -> None:
    run = write(tmp_path, Plan([SMALL, LARGE], rounds=2, void={(LARGE.id, 1): 3, (LARGE.id, 2): 3}))
    assert asked(run) is None
    assert "apart" not in first_line(run)


def test_what_was_lost_comes_first(tmp_path: Path) -> None:
    said = first_line(drained(tmp_path, {500: 1.0, 2000: 1.12}, lost={(SMALL.id, 2): 12}))
    assert said.startswith("12 of 2,400,000 events lost; batch 2,000 stores")


def test_an_answer_that_would_be_long_makes_way_for_the_usual_line(tmp_path: Path) -> None:
    mixes = [{f"event_type_{n} and more": n for n in range(first, first + 9)} for first in (1, 10)]
    made = [Cell(f"drain-mix{n}", "drain", {"event_mix": mix}) for n, mix in enumerate(mixes)]
    assert asked(write(tmp_path, Plan(made, rounds=2))) is None


@pytest.mark.parametrize("rounds", [1, 3, 10])
def test_the_line_is_short(tmp_path: Path, rounds: int) -> None:
    said = first_line(drained(tmp_path, {500: 1.0, 1000: 1.3, 2000: 1.28}, rounds=rounds))
    assert len(said.split()) <= answer.MOST_WORDS

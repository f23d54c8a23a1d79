"""``./tidemark bench advise`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as command
from tests.unit.reports.made_bundle import Cell, Plan, write

CONFIRMED = (("climb", 16_000.0, False), *[("confirmation", 8_000.0, True)] * 3)
CELLS = [
    Cell("drain-c2", "drain", {"consumers": 2}),
    Cell("steady-c1", "steady", {"consumers": 1, "offered_load": 6_000.0}),
    Cell("capacity-c2", "capacity", {"consumers": 2}, CONFIRMED, (8_000.0, 7_500.0, 9_000.0)),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("runs"), Plan(CELLS, rounds=2, requests=1_200))


def advise(run: Path, target: str, *more: str) -> int:
    return command.main(["advise", run.name, "--runs", str(run.parent), "--target", target, *more])


def test_the_smallest_configuration_that_holds_the_target_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert advise(run, "5000") == 0
    assert "  1 consumer, 3 partitions per topic, 1 API process\n  shown at 6,000 events/s" in capsys.readouterr().out
    answer = tmp_path / "advice.json"
    assert advise(run, "7000", "--objective", "p99 delivery latency <= 2 s", "--json", str(answer)) == 0
    assert (
        "8,000 events/s sustained, confirmed by repeats; its limit: 7,500 to 9,000 (95% interval)"
        in capsys.readouterr().out
    )
    assert json.loads(answer.read_text())["best"]["axes"]["consumers"] == 2


def test_without_a_configuration_that_holds_the_load_the_exit_code_is_1_and_a_cell_to_measure_is_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert advise(run, "20000") == 1
    text = capsys.readouterr().out
    assert "no measured configuration was shown to hold it" in text
    assert text.index("\nnext\n") < text.index("  [[cells]]") < text.index("  start_load = 20000")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--objective", "p99 latency <= 1 s"], "the objective 'p99 latency <= 1 s' is not understood"),
        (["--target", "-1"], "a target of -1 events/s cannot be"),
        (["--json", "/nowhere/advice.json"], "/nowhere/advice.json cannot be written"),
    ],
)
def test_bad_usage_is_a_one_line_error(
    run: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert advise(run, "5000", *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_run_that_is_not_there_or_cannot_answer_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert advise(tmp_path / "nothing", "5000") == 2
    assert "is no run" in capsys.readouterr().err
    assert advise(write(tmp_path, Plan(CELLS[:1], rounds=1)), "5000") == 2
    assert "has no steady or capacity cell" in capsys.readouterr().err

"""The committed reference runs keep their numbers: what reads and judges them may change, what it finds may not.

To write the numbers down anew, after a change that is meant to change them:

    python -m tests.unit.reports.test_reference
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundle import reading
from reports.answer import verdict
from reports.cells import cells
from reports.comparison import comparing, texts
from reports.page import summary
from reports.ratios.outcome import Rules

REFERENCE = Path(__file__).parents[3] / "reports/reference"
NUMBERS = Path(__file__).parents[1] / "data/reference_numbers.json"
RUNS = ("quick-on-2-cores", "full-on-2-cores", "at-the-wall-on-2-cores", "ten-million")
PAIR = "same-against-same"


def numbers_of_report(name: str) -> dict[str, float]:
    run = reading.load(REFERENCE / name)
    measured = cells.summarise(run)
    return dict(numbers(json.loads(summary.to_json(run, measured, verdict.decide(run, measured)))))


def numbers_of_comparison(name: str) -> dict[str, float]:
    base, new = (reading.load(REFERENCE / name / side) for side in ("base", "new"))
    return dict(numbers(json.loads(texts.to_json(comparing.compare(base, new, Rules(cpu=True))))))


def numbers(content: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of nested JSON, by its path; to six digits, as the order of a sum may change."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from numbers(value, f"{path}/{name}")
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from numbers(value, f"{path}/{index}")
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield path, float(f"{content:.6g}")


@pytest.mark.parametrize("name", RUNS)
def test_report_of_a_reference_run_has_the_numbers_written_down(name: str) -> None:
    assert numbers_of_report(name) == json.loads(NUMBERS.read_text())[name]


def test_comparison_of_the_reference_pair_has_the_numbers_written_down() -> None:
    assert numbers_of_comparison(PAIR) == json.loads(NUMBERS.read_text())[PAIR]


if __name__ == "__main__":
    found = {name: numbers_of_report(name) for name in RUNS} | {PAIR: numbers_of_comparison(PAIR)}
    NUMBERS.write_text(json.dumps(found, separators=(",", ":")) + "\n")

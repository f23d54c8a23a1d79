"""Steps of an event's way in two revisions: what is judged, shown and written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from reports.comparison import revisions, steps
from reports.comparison.command import Files
from reports.comparison.steps import StepsComparison
from reports.ratios.outcome import Rules
from stats import inference
from stats.inference import FASTER, SLOWER

ROUNDS, STEPS = 12, 16


@dataclass(frozen=True)
class Made:
    name: str
    base_us: tuple[float, ...] = ()
    new_us: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    role: str = "worker"
    does: str = "something"
    note: str = ""


def made(name: str, *, ratio: float = 1.0, noise: float = 0.02, rounds: int = ROUNDS, seed: int = 1) -> Made:
    ratios = ratio * np.exp(np.random.default_rng(seed).normal(0, noise, rounds))
    return Made(name, (2.0,) * rounds, tuple(2.0 / ratios), tuple(ratios))


def judge(*given: Made) -> StepsComparison:
    return steps.compare(given, Rules())


def test_a_dearer_step_is_slower_and_named_with_how_much() -> None:
    found = judge(made("map", ratio=1 / 1.25), made("bson", noise=0.005, seed=2))
    assert [step.verdict for step in found.steps] == ["slower", "same"]
    assert found.regression
    assert re.match(r"Dearer in NEW: map \(\+2[3-7]% CPU, 95% interval \+2\d% to", steps.sentence(found))
    assert found.steps[0].why.endswith("after Holm's correction over 2 steps")


def test_a_cheaper_step_is_no_regression() -> None:
    found = judge(made("map", ratio=1.4))
    assert (found.steps[0].verdict, found.regression) == ("faster", False)


def test_a_step_of_one_revision_only_is_named_and_does_not_count() -> None:
    alone = Made("publish", note="in NEW only; BASE: ImportError: no Records")
    found = judge(alone, made("map", ratio=0.5))
    assert [step.verdict for step in found.steps] == [None, "slower"]
    assert "over 1 step" in found.steps[1].why
    assert steps.notes(found) == ("publish: in NEW only; BASE: ImportError: no Records",)
    assert "not in both" in steps.table(found).rows[0]


def test_nothing_in_both_is_no_error() -> None:
    found = judge(Made("publish", note="in NEW only"))
    assert (found.regression, steps.sentence(found)) == (False, "No step is in both.")


def test_without_enough_rounds_for_a_small_p_no_step_has_a_verdict() -> None:
    found = judge(*(made(f"step-{number}", ratio=0.5, rounds=6, seed=number) for number in range(4)))
    assert {step.verdict for step in found.steps} == {"cannot tell"}
    assert "fewer than 8 rounds can decide none" in steps.sentence(found)


@pytest.mark.parametrize(("effect", "least", "most"), [(1.0, 0.0, 0.06), (1 / 1.1, 0.95, 1.0)])
def test_the_same_code_seldom_alarms_and_a_tenth_is_found(effect: float, least: float, most: float) -> None:
    """1,000 comparisons of 16 steps with the noise that was seen, 4.5% a round; a slowdown is in the first step."""
    rng = np.random.default_rng(20261123)
    logs = rng.normal(0, 0.045, (1_000, STEPS, ROUNDS))
    logs[:, 0] += np.log(effect)
    codes = inference.verdicts(inference.paired(np.zeros_like(logs), logs), floor=0.03)
    alarms = (codes == SLOWER).any(axis=-1).mean() if effect == 1 else (codes[:, 0] == SLOWER).mean()
    assert least <= alarms <= most
    assert ((codes == FASTER).any(axis=-1)).mean() <= 0.06


def test_exit_code_and_files_have_the_verdicts_of_the_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = revisions.judged([made("map", ratio=0.5), made("bson", seed=2)], Rules())
    files = Files(markdown=tmp_path / "perf.md", json=tmp_path / "perf.json")
    assert revisions.finish("working tree against HEAD (1a2b3c4 Mend it)", found, None, files) == 1
    written = json.loads((tmp_path / "perf.json").read_text())
    assert (written["regression"], written["comparison"]) == (True, None)
    assert [(step["step"], step["verdict"]) for step in written["steps"]] == [("map", "slower"), ("bson", "same")]
    assert len(written["steps"][0]["ratio_by_round"]) == ROUNDS
    assert "**Regression: map**" in (tmp_path / "perf.md").read_text()
    assert "Regression: map" in capsys.readouterr().out
    assert revisions.finish("title", steps.compare([made("map", ratio=1.2)], Rules()), None, Files()) == 0

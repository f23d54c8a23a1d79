"""What recording costs: what pairs of repeats show of it."""

from __future__ import annotations

import pytest

from bench.experiments import recording
from bench.experiments.recording import Cost, Pair

NOISE = (0.99, 1.01, 1.0, 0.985, 1.015, 1.005, 0.995, 1.01, 0.99, 1.0)


def pairs(ratio: float, noise: float = 1.0) -> list[Pair]:
    """Ten pairs; the share of each role is of no account."""
    wobbles = [1 + (each - 1) * noise for each in NOISE]
    bare = Cost({"worker": 1.0, "kafka": 1.5})
    return [(bare, Cost({"worker": 1.0, "kafka": bare.whole * ratio * each - 1.0})) for each in wobbles]


def test_a_ratio_is_of_all_roles_together() -> None:
    found = recording.answer(pairs(1.02, noise=0.01))
    assert found.ratio == pytest.approx(1.02, abs=1e-3)
    assert found.bound == pytest.approx(1.02, abs=1e-3)
    assert found.is_met


def test_a_cost_whose_bound_exceeds_the_limit_does_not_meet_the_target() -> None:
    assert recording.answer(pairs(1.02)).is_met
    found = recording.answer(pairs(1.025))
    assert found.ratio < recording.MOST_RATIO < found.bound
    assert not found.is_met


def test_a_cost_above_the_limit_does_not_meet_the_target() -> None:
    assert not recording.answer(pairs(1.05, noise=0.01)).is_met


def test_fewer_than_ten_pairs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        recording.main(["--pairs", "9"])
    assert ended.value.code == 2
    assert "--pairs 9: fewer than 10 show nothing" in capsys.readouterr().err

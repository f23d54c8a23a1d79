"""Pace of API and worker: nothing waits at rest or behind a backlog, and under load the wait grows with the rate."""

from __future__ import annotations

import itertools

import pytest

from pipeline.pace import Pace

FULL = 2_000


def gathering(pace: Pace, rate_per_s: float, *, every_s: float, from_s: float = 0.0) -> float:
    """The wait that ``pace`` chooses after a second of polls ``every_s``, each of the events at ``rate_per_s``."""
    polls = round(1 / every_s)
    given = [pace.after(round(rate_per_s * every_s), from_s + every_s * poll) for poll in range(1, polls + 1)]
    return given[-1]


def test_no_wait_is_a_bound_too() -> None:
    assert gathering(Pace(0, FULL), 18_000, every_s=0.05) == 0


@pytest.mark.parametrize("rate_per_s", [1, 10, 100, 1_000])
def test_at_rest_nothing_waits(rate_per_s: int) -> None:
    assert gathering(Pace(0.05, FULL), rate_per_s, every_s=1 / rate_per_s) == 0


def test_a_burst_after_silence_does_not_wait() -> None:
    assert Pace(0.05, FULL).after(1_000, 100.0) == 0
    pace = Pace(0.05, FULL)
    assert pace.after(0, 1.0) == 0
    assert pace.after(100, 11.0) == 0


def test_the_wait_grows_with_the_rate_up_to_its_bound() -> None:
    waits = [gathering(Pace(0.05, FULL), rate, every_s=0.02) for rate in (2_000, 4_000, 8_000, 50_000)]
    assert waits == pytest.approx([0.003125, 0.0125, 0.05, 0.05], rel=0.02)
    assert gathering(Pace(0.01, FULL), 50_000, every_s=0.02) == 0.01


def test_the_rate_does_not_depend_on_how_often_is_polled() -> None:
    waits = [gathering(Pace(0.05, FULL), 4_000, every_s=every_s) for every_s in (0.005, 0.01, 0.05)]
    assert waits == pytest.approx([0.0125] * 3, rel=0.02)


def test_nothing_waits_behind_a_backlog_nor_right_after_it() -> None:
    pace = Pace(0.05, FULL)
    assert gathering(pace, 18_000, every_s=0.05) > 0
    given = [pace.after(events, 1 + 0.04 * poll) for poll, events in enumerate([FULL, FULL, 700, FULL, 700, 600], 1)]
    assert given[:5] == [0] * 5
    assert given[5] > 0


def test_a_poll_that_gave_nothing_has_waited_already() -> None:
    pace = Pace(0.05, FULL)
    assert gathering(pace, 18_000, every_s=0.05) > 0
    assert pace.after(0, 1.01) == 0
    assert pace.after(1, 1.02) > 0


def test_the_wait_ends_with_the_load() -> None:
    pace = Pace(0.05, FULL)
    assert gathering(pace, 18_000, every_s=0.05) > 0
    polls = (pace.after(1, 1 + 0.01 * poll) for poll in range(1, 200))
    assert len(list(itertools.takewhile(lambda wait: wait > 0, polls))) < 100


def test_two_polls_at_one_moment_are_no_infinite_rate() -> None:
    pace = Pace(0.05, FULL)
    assert pace.after(1, 5.0) == 0
    assert pace.after(1, 5.0) == 0

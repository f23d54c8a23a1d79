"""Counters and levels over time, and a poller that nothing holds up."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bench.observe.scraper import CounterPoller, CounterSeries, Figures

S = 1_000_000_000


def series(**figures: list[float]) -> CounterSeries:
    """Readings at 0 s, 1 s, 2 s and so on."""
    length = len(next(iter(figures.values())))
    return CounterSeries(
        np.arange(length, dtype=np.int64) * S, {name: np.array(values) for name, values in figures.items()}
    )


def test_a_rate_is_of_the_window_and_interpolated_at_its_ends() -> None:
    read = series(bytes=[0.0, 100.0, 300.0, 300.0])
    assert read.per_s("bytes", S // 2, 2 * S) == pytest.approx((300 - 50) / 1.5)
    assert read.per_s("nothing of the kind", 0, S) is None
    assert read.per_s("bytes", 2 * S, 2 * S) is None


def test_a_window_that_was_hardly_read_has_no_rate() -> None:
    assert series(bytes=[0.0, 100.0]).per_s("bytes", 0, 60 * S) is None


def test_a_counter_that_was_set_back_goes_on_from_there() -> None:
    """A server that is killed and started again counts from 0; what it had counted before is not taken back."""
    read = series(bytes=[1_000.0, 1_100.0, 40.0, 90.0])
    assert read.counted("bytes")[1].tolist() == [0.0, 100.0, 140.0, 190.0]


def test_seconds_without_a_report_are_not_zeros() -> None:
    read = series(bytes=[0.0, 100.0, 200.0], queue=[3.0, float("nan"), 5.0])
    edges_ns = np.arange(-1, 5) * S
    assert np.array_equal(read.growth("bytes", edges_ns), [np.nan, 100, 100, np.nan, np.nan], equal_nan=True)
    halves_ns = np.arange(-1, 5) * S + S // 2
    assert np.array_equal(read.growth("bytes", halves_ns), [50, 100, 50, np.nan, np.nan], equal_nan=True)
    assert read.encloses(halves_ns).tolist() == [False, True, False, False, False]
    assert np.array_equal(read.largest("queue", edges_ns), [np.nan, 3, np.nan, 5, np.nan], equal_nan=True)
    assert np.isnan(CounterSeries().growth("bytes", edges_ns)).all()


def test_a_poller_reads_at_its_start_and_at_its_end() -> None:
    readings = iter(range(100))
    poller = CounterPoller("a server", lambda: {"count": float(next(readings))})
    poller.start()
    poller.stop()
    counted = poller.series().figures["count"]
    assert counted[0] == 0
    assert len(counted) >= 1
    poller.stop()


def test_a_failed_read_is_left_out_and_a_server_that_never_answers_is_asked_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers: list[Figures | None] = [{"count": 1.0}, None, {"count": 3.0, "new": 1.0}]
    asked = threading.Event()

    def read() -> Figures | None:
        if len(answers) == 1:
            asked.set()
        return answers.pop(0) if answers else None

    poller = CounterPoller("a server", read, period_s=0.001)
    poller.start()
    assert asked.wait(5)
    poller.stop()
    assert poller.series().figures["count"].tolist() == [1.0, 3.0]
    assert np.array_equal(poller.series().figures["new"], [np.nan, 1.0], equal_nan=True)

    count = 0

    def refuse() -> None:
        nonlocal count
        count += 1

    silent = CounterPoller("a silent server", refuse, period_s=0.001)
    silent.start()
    silent._thread.join(5)
    assert not silent._thread.is_alive()
    assert count == 3
    assert not len(silent.series().at_ns)
    assert "a silent server does not report its counters" in caplog.text
